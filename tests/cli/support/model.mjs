// model.mjs - a stand-in model server of a test's own (tests/fake_model), its log and its figures. Not the program under
// test. Used by tests/cli/*.test.mjs.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { FAKE_MODEL, environment, folder, start, until } from './plait.mjs';

function get(port, resource) {
    return new Promise((resolve, reject) => {
        const request = http.get({ host: '127.0.0.1', port, path: resource, agent: false }, (answer) => {
            const pieces = [];
            answer.on('data', (piece) => pieces.push(piece));
            answer.on('end', () => resolve(JSON.parse(Buffer.concat(pieces).toString('utf8'))));
            answer.on('error', reject);
        });
        request.on('error', reject);
    });
}

// Starts one. `env` is what makes plait call it as provider `openai`.
export async function startModel(t, { key } = {}) {
    const dir = folder(t);
    const portFile = path.join(dir, 'port');
    const log = path.join(dir, 'log');
    fs.writeFileSync(log, '');
    const args = ['--port', '0', '--port-file', portFile, '--log', log, '--with-parent', ...(key ? ['--key', key] : [])];
    const process = start(t, FAKE_MODEL, args, { env: environment() });
    const port = await until(
        () => {
            if (process.ended) throw new Error(`fake_model ended: ${process.err()}`);
            return fs.existsSync(portFile) && Number(fs.readFileSync(portFile, 'utf8'));
        },
        'the port of fake_model',
    );
    const entries = () =>
        fs.readFileSync(log, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));
    const stats = () => get(port, '/stats');
    const isModelCall = (entry) => entry.path.endsWith('/chat/completions') || entry.path.endsWith('/v1/messages') || entry.path.startsWith('/http/');
    return {
        port,
        process,
        url: `http://127.0.0.1:${port}`,
        env: { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: key ?? 'test-key' },
        // the same server as provider `anthropic`
        anthropic: { ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}`, ANTHROPIC_API_KEY: key ?? 'test-key' },
        stats,
        // The calls that have ended so far, in the order they arrived.
        calls: () => entries().filter(isModelCall).sort((a, b) => a.n - b.n),
        // The calls once none is going on: what was cut off is noticed a moment after the program ended.
        async allCalls() {
            await until(async () => (await stats()).inflight === 0, 'calls in flight to end');
            return entries().filter(isModelCall).sort((a, b) => a.n - b.n);
        },
        // Waits until so many calls are going on at once.
        inFlight: (count) => until(async () => (await stats()).inflight >= count, `${count} calls in flight`),
    };
}

// The calls of one prompt.
export function callsOf(calls, prompt) {
    return calls.filter((call) => call.prompt === prompt);
}
