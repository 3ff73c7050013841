// Names the order of a hook, so that nginx gives all hooks of one order to the same node.
//
// The id is inside the JSON body. Whatever has none (no JSON, no id, a GET) goes to any node, which
// answers it as it must be answered: nothing is judged here, and nothing here ever throws.

const LONGEST_ID = 255;

// The service skips a byte order mark, JSON.parse does not. nginx gives the text as bytes, with which
// njs compares no text: hence the single codes.
function without_mark(text) {
    if (text.charCodeAt(0) === 0xfeff) {
        return text.slice(1);
    }
    const is_mark = [0xef, 0xbb, 0xbf].every((code, at) => text.charCodeAt(at) === code);
    return is_mark ? text.slice(3) : text;
}

// The order's id as text; undefined if there is none that the service would take.
function order_id(text) {
    const body = JSON.parse(without_mark(text));
    const id = body.payload.originalOrderId;
    // A number stands for its text. Digits that a number cannot hold are lost alike for equal ids.
    const name = typeof id === 'number' ? String(id) : id;
    if (typeof name === 'string' && name.length >= 1 && name.length <= LONGEST_ID) {
        return name;
    }
}

// The key that nginx hashes. To be used at the choice of the upstream server and never before: the
// body is not there yet, and nginx would keep the key that was found without it.
function order_key(r) {
    let text;
    try {
        text = r.requestText;
    } catch (e) {
        // Larger than client_body_buffer_size, so that it lies in a file: a fault of the configuration.
        r.warn('the order of a hook is not known: ' + e.message);
    }
    try {
        return order_id(text) || r.variables.request_id;
    } catch (e) {
        return r.variables.request_id;
    }
}

export default { order_key };
