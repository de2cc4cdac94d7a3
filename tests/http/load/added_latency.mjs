// added_latency.mjs [RUNS] - what a run of one step adds to the bare call: the same call straight to the stand-in model and as a run over
// HTTP, in turn, on kept connections; once with the database on the disk, where the answer waits for the commit, and once with it in
// memory. Prints one JSON line. PLAIT and FAKE_MODEL name the programs. Not part of the suite.
import fs from 'node:fs';
import http from 'node:http';
import { performance } from 'node:perf_hooks';
import { startModel } from '../../cli/support/model.mjs';
import { ask, startService } from '../support/service.mjs';

const RUNS = Number(process.argv[2] || 5000);
const after = [];
const t = { after: (what) => after.unshift(what) };
const model = await startModel(t);
const memory = fs.mkdtempSync('/dev/shm/plait-');
after.push(() => fs.rmSync(memory, { recursive: true }));
const disk = await startService(t, { model });
const quick = await startService(t, { model, database: `${memory}/plait.db` });
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 }); // one connection to each
const bare = { model: 'mock-0ms', messages: [{ role: 'user', content: 'hello' }] };
const workflow = { name: 'one', steps: { a: { llm: { model: 'openai/mock-0ms', prompt: 'hello' } } } };
const times = { bare: [], disk: [], memory: [] };
for (let i = -200; i < RUNS; i++) {
    const pairs = [
        ['bare', () => ask(model.port, 'POST', '/v1/chat/completions', { json: bare, agent })],
        ['disk', () => disk.post('/v1/runs', { workflow }, { agent })],
        ['memory', () => quick.post('/v1/runs', { workflow }, { agent })],
    ];
    for (const [name, call] of i % 2 ? pairs : pairs.reverse()) {
        const began = performance.now();
        const answer = await call();
        const ms = performance.now() - began;
        if (answer.status !== 200 || (name !== 'bare' && answer.json.status !== 'succeeded')) throw new Error(answer.text);
        if (i >= 0) times[name].push(ms);
    }
}
const at = (name, share) => times[name].sort((a, b) => a - b)[Math.floor(share * (RUNS - 1))];
const shown = (value) => Number(value.toFixed(3));
console.log(JSON.stringify({
    runs: RUNS,
    bare_p50_ms: shown(at('bare', 0.5)), bare_p99_ms: shown(at('bare', 0.99)),
    added_p50_ms: shown(at('disk', 0.5) - at('bare', 0.5)), added_p99_ms: shown(at('disk', 0.99) - at('bare', 0.99)),
    memory_added_p50_ms: shown(at('memory', 0.5) - at('bare', 0.5)), memory_added_p99_ms: shown(at('memory', 0.99) - at('bare', 0.99)),
}));
agent.destroy();
for (const what of after) await what();
