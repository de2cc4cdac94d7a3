// server.mjs - an HTTP server inside the test: keeps what came in and answers as the test says. Not the stand-in model
// (model.mjs), which scripts faults below HTTP. Used by the tests of http steps.
import http from 'node:http';

// `answer(request, response, number)` may be async; by default 200 with a small JSON object. `requests` holds
// {method, url, headers, body, at}; `connections` counts what connected, even without a request.
export async function startServer(t, answer, host = '127.0.0.1') {
    const sockets = new Set();
    const found = { requests: [], connections: 0 };
    const server = http.createServer((request, response) => {
        const pieces = [];
        request.on('data', (piece) => pieces.push(piece));
        request.on('end', async () => {
            const { method, url, headers } = request;
            const entry = { method, url, headers, body: Buffer.concat(pieces).toString('utf8'), at: Date.now() };
            found.requests.push(entry);
            try {
                if (answer) await answer(entry, response, found.requests.length);
                else json(response, 200, { ok: true });
            } catch (error) {
                found.failure = error;
                response.destroy();
            }
        });
    });
    server.on('connection', (socket) => {
        found.connections++;
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket));
        socket.on('error', () => {});
    });
    await new Promise((resolve, reject) => {
        server.on('error', reject);
        server.listen(0, host, resolve);
    });
    t.after(
        () =>
            new Promise((resolve) => {
                for (const socket of sockets) socket.destroy();
                server.close(resolve);
            }),
    );
    found.port = server.address().port;
    found.url = `http://${host.includes(':') ? `[${host}]` : host}:${found.port}`;
    return found;
}

export function json(response, status, value, headers = {}) {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
}
