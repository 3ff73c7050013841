-- What needs a person is found by when it arrived, among the few arrivals that say so. The rows of orders
-- cannot answer it: all that ever contradicted itself or was never created stays there, and an index on the
-- moment of their last change would have every update write the entries of all indexes.

SET lock_timeout = '5s';

CREATE INDEX order_arrivals_parked ON order_arrivals (received_at) WHERE outcome = 'parked';
CREATE INDEX order_arrivals_noted ON order_arrivals (received_at) WHERE notes IS NOT NULL;
DROP INDEX orders_announced, orders_conflict;
