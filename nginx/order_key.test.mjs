// `node --test nginx/`: the choice of the hash key, outside nginx.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

// Imported as text: without a package.json, older versions of node take a .js file for CommonJS.
const source = readFileSync(new URL('order_key.js', import.meta.url), 'utf8');
const { default: script } = await import('data:text/javascript,' + encodeURIComponent(source));

const REQUEST_ID = '0123456789abcdef0123456789abcdef';

function request(text) {
    const warnings = [];
    return {
        warnings,
        warn: (line) => warnings.push(line),
        variables: { request_id: REQUEST_ID },
        requestText: text,
    };
}

const key = (text) => script.order_key(request(text));
const hook = (id) => JSON.stringify({ event_type: 'order.paid', payload: { originalOrderId: id } });

test('the key is the id of the order, whatever else is in the body', () => {
    assert.equal(key(hook('H1234567890')), 'H1234567890');
    assert.equal(key('{"payload":{"positions":[{}],"originalOrderId":"H1"},"event_type":"order.changed"}'), 'H1');
    assert.equal(key(' \r\n\t' + hook('H1') + '\n'), 'H1');
    assert.equal(key(hook('Заказ 7 🛒')), 'Заказ 7 🛒');
    assert.equal(key(hook("'\"<&/ ")), "'\"<&/ ");
    assert.equal(key('{"payload":{"originalOrderId":"\\u0048\\u0031"}}'), 'H1');
});

test('a byte order mark is skipped', () => {
    assert.equal(key('\ufeff' + hook('H1')), 'H1');
    assert.equal(key('\u00ef\u00bb\u00bf' + hook('H1')), 'H1', 'as bytes');
});

test('a number is the same key as its text', () => {
    assert.equal(key(hook(1234567890)), key(hook('1234567890')));
    assert.equal(key(hook(0)), '0');
});

test('equal numbers give equal keys even where digits are lost', () => {
    const body = '{"payload":{"originalOrderId":12345678901234567890123}}';
    assert.equal(key(body), key(body));
    assert.notEqual(key(body), REQUEST_ID);
});

test('1 to 255 characters are an id', () => {
    assert.equal(key(hook('x')), 'x');
    assert.equal(key(hook('x'.repeat(255))), 'x'.repeat(255));
    assert.equal(key(hook('x'.repeat(256))), REQUEST_ID);
    assert.equal(key(hook('')), REQUEST_ID);
});

test('what names no order goes to any node', () => {
    const bodies = [
        undefined, '', ' ', '{', 'null', '7', '"text"', '[]', '{}', '{"payload":null}', '{"payload":7}',
        '{"payload":[]}', '{"payload":{}}', hook(null), hook(true), hook(['H1']), hook({ id: 'H1' }),
        '{"originalOrderId":"H1"}', hook('H1') + hook('H1'), '[' + hook('H1') + ']', '<html>', 'a=b&c=d', '\0',
        '['.repeat(100000),
    ];
    for (const body of bodies) {
        const asked = request(body);
        assert.equal(script.order_key(asked), REQUEST_ID, String(body).slice(0, 40));
        assert.deepEqual(asked.warnings, []);
    }
});

test('a body that nginx put into a file is told, and goes to any node', () => {
    const asked = request();
    Object.defineProperty(asked, 'requestText', {
        get() {
            throw new Error('request body is in a file');
        },
    });
    assert.equal(script.order_key(asked), REQUEST_ID);
    assert.deepEqual(asked.warnings, ['the order of a hook is not known: request body is in a file']);
});
