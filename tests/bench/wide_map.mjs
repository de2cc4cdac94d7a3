// wide_map.mjs - PLAIT=... node tests/bench/wide_map.mjs [ITEMS [CONCURRENCY [REPS]]] - one map over many items on the simulated
// provider (10 ms each): wall time beside the ideal (items * 10 ms / concurrency), memory over idle, whether the result is whole and in
// order. As `plait run` (the whole process) and over HTTP. Prints, judges only the result.
import fs from 'node:fs';
import { peakMemory, place, plait } from '../cli/support/plait.mjs';
import { startService } from '../http/support/service.mjs';

const [items = 100_000, concurrency = 500, reps = 5] = process.argv.slice(2).map(Number);
const LATENCY_MS = 10;
const ideal = (items * LATENCY_MS) / concurrency;
const MIB = 1024 * 1024;

const cleanups = [];
const t = { after: (cleanup) => cleanups.unshift(cleanup) };

const workflow = {
    name: 'wide',
    steps: { all: { map: { over: `\${ [range(${items})] }`, concurrency, do: { llm: { model: `sim/echo?latency=${LATENCY_MS}ms`, prompt: 'item ${ .item }' } } } } },
};
const small = { name: 'small', steps: { one: { reduce: 1 } } };
const isWhole = (output) => output.length === items && output.every((value, i) => value === `[simulated] item ${i}`);
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

function tell(way, found, idle) {
    const walls = found.map(({ ms }) => ms);
    const peak = Math.max(...found.map(({ peak }) => peak));
    console.log(JSON.stringify({
        way, items, concurrency, reps, whole: found.every(({ whole }) => whole),
        wall_ms: Math.round(median(walls)), best_ms: Math.round(Math.min(...walls)), worst_ms: Math.round(Math.max(...walls)),
        ideal_ms: ideal, ratio: Number((median(walls) / ideal).toFixed(3)), best_ratio: Number((Math.min(...walls) / ideal).toFixed(3)),
        idle_mib: Number((idle / MIB).toFixed(1)), peak_mib: Number((peak / MIB).toFixed(1)), over_idle_mib: Number(((peak - idle) / MIB).toFixed(1)),
    }));
}

async function asCommand(way, options) {
    const once = async (document) => {
        const home = place(t);
        const process = plait(t, home, ['run', '--quiet', ...options, home.file('w.json', document)]);
        const peak = await peakMemory(process);
        const { code, out, err, ms } = await process.done;
        if (code !== 0) throw new Error(err);
        const value = JSON.parse(out);
        return { peak, ms, output: options.length ? value.output : value };
    };
    const { peak: idle } = await once(small);
    const found = [];
    for (let i = 0; i < reps; i++) {
        const { output, ...figures } = await once(workflow);
        found.push({ ...figures, whole: isWhole(output) });
    }
    tell(way, found, idle);
}

async function overHttp() {
    const resident = (pid, field) => Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${field}:\\s+(\\d+)`, 'm'))[1]) * 1024;
    const found = [];
    let idle = 0;
    for (let i = 0; i < reps; i++) {
        const service = await startService(t);
        await service.run({ workflow: small });
        idle = Math.max(idle, resident(service.process.pid, 'VmRSS'));
        const { output, duration_ms: ms } = await service.run({ workflow });
        found.push({ ms, whole: isWhole(output), peak: resident(service.process.pid, 'VmHWM') });
        await service.stop();
    }
    tell('HTTP', found, idle);
}

try {
    await asCommand('plait run', []);
    await asCommand('plait run --json', ['--json']); // with every step
    await overHttp();
} finally {
    for (const cleanup of cleanups) await cleanup();
}
