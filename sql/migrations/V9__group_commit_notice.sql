-- What a group commit tells staff comes by itself, so that the arrivals with their bodies are read once. The type
-- group_commit_arrival stays for nodes that still write by it while a new build is rolled out.

SET lock_timeout = '5s';

CREATE TYPE group_commit_event AS (
    delivery_id   uuid,
    order_id      text,
    order_version bigint,
    event         text,
    event_type    text,
    received_at   timestamptz,
    sm_timestamp  timestamptz,
    outcome       text,
    notes         text[],
    errors        jsonb,
    request_id    text,
    replay_of     uuid,
    replayed_by   text,
    body          bytea,
    notice        text
);

CREATE TYPE group_commit_notice AS (
    delivery_id uuid,
    order_id    text,
    store_id    text,
    kind        text
);
