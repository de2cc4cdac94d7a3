// mcp.mjs - a small MCP server inside the test, of either era of the protocol: what it was asked it keeps, what it does wrong
// the test says. Not a whole server (tests/http/mcp.test.mjs talks to those of npm). Used by mcp.test.mjs.
import assert from 'node:assert/strict';
import { json, startServer } from './server.mjs';

const META = 'io.modelcontextprotocol/';

export const text = (words) => ({ content: [{ type: 'text', text: words }] });

// The newest revision: each request stands alone, and says in its headers what is in its body.
function checkStateless(request, message) {
    const { method, params } = message;
    assert.equal(request.headers['mcp-protocol-version'], '2026-07-28');
    assert.equal(request.headers['mcp-method'], method);
    assert.equal(params._meta[`${META}protocolVersion`], '2026-07-28');
    assert.deepEqual(params._meta[`${META}clientCapabilities`], {});
    assert.equal(request.headers['mcp-session-id'], undefined);
    if (method === 'tools/call') assert.equal(request.headers['mcp-name'], params.name);
}

function stream(response, messages, end = true) {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    for (const message of messages) response.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
    if (end) response.end();
}

// Options: sessions (the older era), tools (an object of functions of arguments that give a result, or a schema beside: {call,
// schema}), page (tools a page), sse (answers as streams, with other messages first), answer(message, response, request): true
// when it answered by itself. Gives startServer's object, with `messages`: {method, params, session, headers}.
export async function startMcp(t, { sessions = false, tools = {}, page = 100, sse = false, answer } = {}) {
    const known = new Set();
    let old = sessions;
    const messages = [];
    const names = Object.keys(tools);
    const results = {
        initialize: () => ({ protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'stand-in', version: '1' } }),
        'tools/list': ({ cursor }) => {
            const from = Number(cursor ?? 0);
            const list = names.slice(from, from + page).map((name) => ({ name, description: `does ${name}`, inputSchema: tools[name].schema ?? { type: 'object' } }));
            return { tools: list, ...(from + page < names.length ? { nextCursor: String(from + page) } : {}) };
        },
        'tools/call': ({ name, arguments: args }) => (typeof tools[name] === 'function' ? tools[name] : tools[name].call)(args),
    };
    const server = await startServer(t, async (request, response) => {
        const session = request.headers['mcp-session-id'];
        if (request.method === 'DELETE') {
            messages.push({ method: 'DELETE', session, headers: request.headers });
            response.writeHead(known.delete(session) ? 200 : 404).end();
            return;
        }
        assert.equal(request.method, 'POST');
        assert.match(request.headers.accept, /application\/json.*text\/event-stream/);
        const message = JSON.parse(request.body);
        const fail = (status, code, words) => json(response, status, { jsonrpc: '2.0', id: null, error: { code, message: words } });
        messages.push({ method: message.method, params: message.params, session, headers: request.headers });
        if (answer && (await answer(message, response, request))) return;
        if (!old && request.headers['mcp-protocol-version'] !== '2026-07-28') return fail(400, -32020, 'Header mismatch');
        if (!old) checkStateless(request, message);
        else if (message.method === 'initialize') known.add(`session-${messages.length}`);
        else if (!session) return fail(400, -32000, 'Bad Request: Server not initialized');
        else if (!known.has(session)) return fail(404, -32001, 'Session not found');
        if (message.id === undefined) {
            response.writeHead(202).end();
            return;
        }
        const headers = message.method === 'initialize' ? { 'mcp-session-id': `session-${messages.length}` } : {};
        const reply = { jsonrpc: '2.0', id: message.id, result: await results[message.method](message.params) };
        if (sse && message.method !== 'initialize') {
            stream(response, [
                { jsonrpc: '2.0', method: 'notifications/progress', params: { progress: 1 } },
                { jsonrpc: '2.0', id: message.id, method: 'ping' },
                { jsonrpc: '2.0', id: 'other', result: {} },
                reply,
            ]);
        } else {
            json(response, 200, reply, headers);
        }
    });
    return Object.assign(server, { messages, forget: () => known.clear(), speak: (older) => (old = older), of: (method) => messages.filter((message) => message.method === method) });
}

export { stream };
