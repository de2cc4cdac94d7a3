// raw.mjs - bytes on a socket and the answers that come back, for requests that no HTTP client would send. Used by
// framing.test.mjs and limits.test.mjs.
import net from 'node:net';

// Takes a stream of HTTP/1.1 answers apart: [{status, headers, body}]. Rest that is no whole answer is dropped.
export function answersOf(bytes) {
    const answers = [];
    let rest = bytes;
    for (;;) {
        const end = rest.indexOf('\r\n\r\n');
        if (end < 0) return answers;
        const [line, ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
        const found = line.match(/^HTTP\/1\.[01] (\d{3})/);
        if (!found) return answers;
        const headers = Object.fromEntries(lines.map((one) => [one.slice(0, one.indexOf(':')).toLowerCase(), one.slice(one.indexOf(':') + 1).trim()]));
        rest = rest.subarray(end + 4);
        let body;
        if (headers['transfer-encoding'] === 'chunked') {
            const pieces = [];
            for (let size = 1; size; ) {
                const at = rest.indexOf('\r\n');
                if (at < 0) return answers;
                size = parseInt(rest.subarray(0, at).toString('latin1'), 16);
                pieces.push(rest.subarray(at + 2, at + 2 + size));
                rest = rest.subarray(at + 4 + size);
            }
            body = Buffer.concat(pieces);
        } else {
            const length = Number(headers['content-length'] ?? (Number(found[1]) === 100 ? 0 : rest.length));
            body = rest.subarray(0, length);
            rest = rest.subarray(length);
        }
        if (Number(found[1]) !== 100) answers.push({ status: Number(found[1]), headers, body: body.toString('utf8') });
    }
}

// Sends bytes and collects what comes until the server closes, or nothing came for `quiet` ms: {answers, closed, bytes}.
export function exchange(port, bytes, { quiet = 300 } = {}) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        const pieces = [];
        let timer;
        const finish = (closed) => {
            clearTimeout(timer);
            socket.destroy();
            const all = Buffer.concat(pieces);
            resolve({ answers: answersOf(all), closed, bytes: all });
        };
        const wait = () => {
            clearTimeout(timer);
            timer = setTimeout(() => finish(false), quiet);
        };
        socket.on('connect', () => socket.write(bytes, wait));
        socket.on('data', (piece) => {
            pieces.push(piece);
            wait();
        });
        socket.on('error', () => finish(true));
        socket.on('close', () => finish(true));
        wait();
    });
}
