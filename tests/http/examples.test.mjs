// examples.test.mjs - every file in examples/ is stored and runs over HTTP, on the simulated provider; people are played through
// the API. What each must show is in tests/cli/support/examples.mjs.
import assert from 'node:assert/strict';
import path from 'node:path';
import fs from 'node:fs';
import { test } from 'node:test';
import { examples, names, prepared } from '../cli/support/examples.mjs';
import { folder, limit, until } from '../cli/support/plait.mjs';
import { startServer } from '../cli/support/server.mjs';
import { startService } from './support/service.mjs';
import { checkHttpRun } from './support/workflows.mjs';

async function store(service, name, text) {
    const answer = await service.ask('PUT', `/v1/workflows/${name}`, { body: text, headers: { 'content-type': 'application/yaml' } });
    assert.equal(answer.status, 201, answer.text);
}

// Answers each question when it is asked.
async function play(service, id, answers) {
    for (const [at, output] of Object.entries(answers)) {
        await until(async () => {
            const [step] = await service.steps(id, `&status=waiting&prefix=${at}`);
            return step?.path === at;
        }, `${at} to be asked`);
        const answer = await service.post(`/v1/runs/${id}/steps/${at}/answer`, { output });
        assert.equal(answer.status, 200, answer.text);
    }
}

for (const name of names)
    test(`${name} runs over HTTP`, limit, async (t) => {
        const example = examples[name];
        const server = example.serve && (await startServer(t, example.serve));
        const args = [];
        if (server) {
            const config = path.join(folder(t), 'config.yaml');
            fs.writeFileSync(config, `network: {allow_private: ["127.0.0.1:${server.port}"]}\n`);
            args.push('--config', config);
        }
        const service = await startService(t, { args });
        for (const each of [...(example.also ?? []), name]) await store(service, each, prepared(each, server?.url));
        const graph = await service.get(`/v1/workflows/${name}/graph`);
        assert.ok(graph.json.nodes.length > 0);
        const body = { input: example.input(server?.url), background: true };
        const begun = await service.post(`/v1/workflows/${name}/runs`, body);
        assert.equal(begun.status, 202, begun.text);
        await play(service, begun.json.id, example.answers ?? {});
        const run = checkHttpRun(await service.over(begun.json.id));
        assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
        const step = Object.fromEntries((await service.steps(run.id)).map((each) => [each.path, each]));
        example.check({ ...run, step }, server);
    });
