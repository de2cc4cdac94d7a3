// hedge.mjs - PLAIT=... FAKE_MODEL=... node tests/bench/hedge.mjs [JOINS [LATENCY_MS [AFTER [MAX]]]] - what hedging does to the slowest of
// 20 branches: joins of 20 calls to a model of which 5 of 100 calls, drawn, take 20 times as long; with `hedge` and without, in turns, four
// joins at a time, in one service. Prints p50 and p99 of the joins, and the calls that hedging added by the model's own count; judges nothing.
import { startModel } from '../cli/support/model.mjs';
import { startService } from '../http/support/service.mjs';

const [joins, latency] = [process.argv[2] ?? 400, process.argv[3] ?? 50].map(Number);
const [after = 'p95', max = 2] = process.argv.slice(4);
const BRANCHES = 20;
const AT_ONCE = 4;

const cleanups = [];
const t = { after: (cleanup) => cleanups.unshift(cleanup) };

const model = `openai/mock-${latency}ms-j${Math.round(latency / 5)}-slow20p5`;
const workflow = (hedge) => ({
    name: 'join',
    input: { type: 'object' },
    defaults: { model },
    steps: {
        fan: {
            join: 'all',
            map: { over: `\${ [range(${BRANCHES})] }`, do: { llm: { prompt: 'join ${ .input.n } item ${ .item }', ...(hedge ? { hedge } : {}) } } },
        },
    },
});

const percentile = (list, share) => [...list].sort((a, b) => a - b)[Math.ceil(list.length * share) - 1];

try {
    const upstream = await startModel(t);
    const service = await startService(t, { env: upstream.env });
    const calls = async () => (await upstream.stats()).calls;
    const sides = [
        { name: 'plain', document: workflow(), ms: [], calls: 0 },
        { name: 'hedged', document: workflow({ after, max: Number(max) }), ms: [], calls: 0 },
    ];
    // the first joins are counted too: the service learns from them what is late
    for (let n = 0; n < joins; n += AT_ONCE)
        for (const side of sides) {
            const before = await calls();
            const runs = await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => service.run({ workflow: side.document, input: { n: n + i } })));
            for (const run of runs) {
                if (run.status !== 'succeeded' || run.output.length !== BRANCHES) throw new Error(JSON.stringify(run));
                side.ms.push(run.duration_ms);
            }
            side.calls += (await calls()) - before;
        }
    for (const { name, ms, calls: count } of sides)
        console.log(JSON.stringify({
            side: name, joins: ms.length, latency_ms: latency, ...(name === 'hedged' ? { after, max: Number(max) } : {}),
            p50: percentile(ms, 0.5), p90: percentile(ms, 0.9), p99: percentile(ms, 0.99), worst: Math.max(...ms),
            calls: count, extra_calls_percent: Number(((count / (ms.length * BRANCHES) - 1) * 100).toFixed(2)),
        }));
    const [plain, hedged] = sides;
    console.log(JSON.stringify({ p99_drops: Number((percentile(plain.ms, 0.99) / percentile(hedged.ms, 0.99)).toFixed(2)) }));
} finally {
    for (const cleanup of cleanups) await cleanup();
}
