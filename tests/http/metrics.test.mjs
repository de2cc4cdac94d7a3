// metrics.test.mjs - the totals of GET /metrics against what a server was asked and said, and against what the runs themselves say.
// Not the figures of the moment (admission.test.mjs, server.test.mjs).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { folder, limit, until } from '../cli/support/plait.mjs';
import { json, startServer } from '../cli/support/server.mjs';
import { startService } from './support/service.mjs';

// A model that answers, answers badly once, refuses, or never ends, as its name says.
function model(counts) {
    return (request, response) => {
        const { model: name } = JSON.parse(request.body);
        counts[name] = (counts[name] ?? 0) + 1;
        if (name === 'never') return;
        if (name === 'refuses') return json(response, 400, { error: { message: 'no', type: 'invalid_request_error' } });
        const content = name === 'mends' && counts[name] % 2 ? 'not JSON' : '{"a":1}';
        json(response, 200, { choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content } }], usage: { prompt_tokens: 100, completion_tokens: 7, total_tokens: 107 } });
    };
}

async function figures(service) {
    const found = {};
    for (const line of (await service.get('/metrics')).text.split('\n')) {
        const [, name, value] = line.match(/^(\S+) (\S+)$/) ?? [];
        if (name) found[name] = Number(value);
    }
    return found;
}

test('totals say how runs and calls ended, what was used and what it cost', limit, async (t) => {
    const counts = {};
    const server = await startServer(t, model(counts));
    const config = path.join(folder(t), 'plait.json');
    fs.writeFileSync(
        config,
        JSON.stringify({
            providers: { own: { kind: 'openai', base_url: `${server.url}/v1`, api_key: 'k' }, quiet: { kind: 'openai', base_url: `${server.url}/v1`, api_key: 'k' } },
            models: { 'own/mends': { input_usd_per_mtok: 10, output_usd_per_mtok: 100 } },
        }),
    );
    const service = await startService(t, { args: ['--config', config] });
    const llm = (name, more = {}) => ({ llm: { model: `own/${name}`, prompt: 'x', ...more } });
    const before = await figures(service);
    assert.equal(before['plait_runs_ended_total{status="succeeded"}'], 0);
    assert.equal(before['plait_provider_attempts_total{provider="quiet",outcome="succeeded"}'], 0);

    const schema = { type: 'object', required: ['a'] };
    const good = await service.run({ workflow: { steps: { a: llm('mends', { schema, repair: 1 }), b: llm('fine') } } });
    assert.equal(good.status, 'succeeded', JSON.stringify(good.error));
    assert.equal((await service.run({ workflow: { steps: { a: llm('refuses') } } })).status, 'failed');
    const id = await service.background({ workflow: { steps: { a: llm('never') } } });
    await until(() => counts.never === 1, 'the call');
    await service.post(`/v1/runs/${id}/cancel`);
    assert.equal((await service.over(id)).status, 'cancelled');

    const own = (name, more = '') => `plait_provider_${name}{provider="own"${more}}`;
    const after = await figures(service);
    const expected = {
        'plait_runs_ended_total{status="succeeded"}': 1,
        'plait_runs_ended_total{status="failed"}': 1,
        'plait_runs_ended_total{status="cancelled"}': 1,
        [own('attempts_total', ',outcome="succeeded"')]: 2,
        [own('attempts_total', ',outcome="failed"')]: 1,
        [own('attempts_total', ',outcome="cancelled"')]: 1,
        [own('calls_total')]: server.requests.length,
        [own('tokens_total', ',kind="output"')]: 21,
        [own('cost_usd_total')]: good.usage.cost_usd,
        'plait_provider_calls_total{provider="quiet"}': 0,
        'plait_provider_cost_usd_total{provider="quiet"}': 0,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(after[name], value, `${name}: ${JSON.stringify(after, null, 1)}`);
    assert.equal(server.requests.length, 5);
    assert.equal(good.usage.cost_usd, (2 * (100 * 10 + 7 * 100)) / 1e6);
});
