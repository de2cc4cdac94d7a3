// admission.mjs - PLAIT=... FAKE_MODEL=... node tests/bench/admission.mjs [SECONDS [CONCURRENCY [RPM [LATENCY_MS]]]] - a provider with
// limits, kept full by one wide map for SECONDS (300), while small runs come now and then. Judged by the stand-in model server's own
// log, not by what Plait says: calls at once, requests in the fullest minute, how much of what is allowed was used, and what a small
// run waits beside its fair share (every second turn while one other run waits). Ends with 1 when a limit was exceeded.
import fs from 'node:fs';
import { performance } from 'node:perf_hooks';
import { startModel } from '../cli/support/model.mjs';
import { folder, sleep } from '../cli/support/plait.mjs';
import { ask, startService } from '../http/support/service.mjs';

const [seconds = 300, concurrency = 50, rpm = 600, latency = 4000] = process.argv.slice(2).map(Number);
const BRANCHES = 3; // of a small run
const EVERY_MS = Math.max(5000, (seconds * 1000) / 20);

const cleanups = [];
const t = { after: (cleanup) => cleanups.unshift(cleanup) };

const call = (prompt) => ({ llm: { model: `limited/mock-${latency}ms`, prompt } });
const wide = (items) => ({ name: 'wide', steps: { all: { map: { over: `\${ [range(${items})] }`, concurrency: 1000, do: call('wide ${ .item }') } } } });
const small = { name: 'small', steps: { all: { map: { over: `\${ [range(${BRANCHES})] }`, do: call('small ${ .item }') } } } };

// The most events in any span of `ms` that begins with one of them.
function fullest(times, ms) {
    let most = 0;
    for (let first = 0, last = 0; first < times.length; first++) {
        while (last < times.length && times[last] < times[first] + ms) last++;
        most = Math.max(most, last - first);
    }
    return most;
}

function mostAtOnce(calls) {
    const edges = calls.flatMap(({ start_ms, end_ms, closed_ms }) => [[start_ms, 1], [closed_ms ?? end_ms, -1]]);
    edges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    let now = 0;
    let most = 0;
    for (const [, step] of edges) most = Math.max(most, (now += step));
    return most;
}

async function smallRuns(service, end) {
    const waits = [];
    while (performance.now() + EVERY_MS < end) {
        await sleep(EVERY_MS);
        const began = performance.now();
        const answer = await ask(service.port, 'POST', '/v1/runs', { json: { workflow: small }, timeout: 600_000 });
        if (answer.status !== 200 || answer.json.status !== 'succeeded') throw new Error(`a small run: ${answer.status} ${answer.text}`);
        waits.push(performance.now() - began - latency);
    }
    return waits;
}

try {
    const model = await startModel(t);
    const dir = folder(t);
    const config = `${dir}/plait.json`;
    fs.writeFileSync(config, JSON.stringify({ providers: { limited: { kind: 'openai', base_url: `${model.url}/v1`, api_key: 'test-key', limits: { concurrency, rpm } } } }));
    const service = await startService(t, { args: ['--config', config] });
    const began = performance.now();
    const run = await ask(service.port, 'POST', '/v1/runs', { headers: { prefer: 'respond-async' }, json: { workflow: wide(Math.ceil(((seconds + 120) * rpm) / 60)) } });
    if (run.status >= 300) throw new Error(`the wide run: ${run.status} ${run.text}`);
    const waits = await smallRuns(service, began + seconds * 1000);
    await sleep(Math.max(0, began + seconds * 1000 - performance.now()));
    const metrics = (await ask(service.port, 'GET', '/metrics')).text.split('\n').filter((line) => /^plait_provider/.test(line));
    await ask(service.port, 'POST', `/v1/runs/${run.json.id}/cancel`);
    await sleep(1000);

    const calls = await model.allCalls();
    calls.sort((a, b) => a.start_ms - b.start_ms);
    const times = calls.map((one) => one.start_ms);
    const first = times[0];
    const within = times.filter((time) => time < first + seconds * 1000).length;
    // what the limits let through: of a minute's requests, and of so many at once
    const allowed = Math.min((rpm * seconds) / 60, (concurrency * seconds * 1000) / latency);
    const fair = (BRANCHES * 2 * 60_000) / Math.min(rpm, (concurrency * 60_000) / latency);
    const sorted = [...waits].sort((a, b) => a - b);
    const found = {
        seconds, concurrency, rpm, latency_ms: latency, calls: within, most_at_once: mostAtOnce(calls),
        fullest_minute: fullest(times, 60_000), used: Number((within / allowed).toFixed(4)),
        small_runs: waits.length, fair_wait_ms: Math.round(fair), median_wait_ms: Math.round(sorted[waits.length >> 1] ?? 0),
        worst_wait_ms: Math.round(sorted.at(-1) ?? 0), worst_of_fair: Number(((sorted.at(-1) ?? 0) / fair).toFixed(2)),
    };
    console.log(JSON.stringify(found));
    for (const line of metrics) console.log(line);
    if (found.most_at_once > concurrency || found.fullest_minute > rpm) process.exitCode = 1;
} finally {
    for (const cleanup of cleanups) await cleanup();
}
