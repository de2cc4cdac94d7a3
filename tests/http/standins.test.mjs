// standins.test.mjs - the providers against a server that others wrote (@copilotkit/aimock of npm): it reads our requests and
// answers as OpenAI, Anthropic, Gemini, Azure and OpenRouter do. Plain, streamed, tool-calling and structured calls, errors and cut
// streams. Not the details of a format (tests/unit/service). What it makes of a request is in its journal, in one shape for all.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before, test } from 'node:test';
import { limit, place } from '../cli/support/plait.mjs';
import { openEvents, readAll } from './support/events.mjs';
import { startService } from './support/service.mjs';

const file = path.join(process.env.PLAIT_NODE_MODULES ?? '', '@copilotkit/aimock/dist/index.js');
const skip = !(process.env.PLAIT_NODE_MODULES && fs.existsSync(file)) && 'the package @copilotkit/aimock is not installed (PLAIT_NODE_MODULES)';

// What a provider is called here, and where its requests have to arrive.
const providers = [
    { name: 'openai', model: 'gpt-4o-mini', path: '/v1/chat/completions', config: (url) => ({ kind: 'openai', base_url: `${url}/v1` }) },
    { name: 'anthropic', model: 'claude-sonnet-4-5', path: '/v1/messages', config: (url) => ({ kind: 'anthropic', base_url: url }) },
    { name: 'gemini', model: 'gemini-2.5-flash', path: '/v1beta/models/gemini-2.5-flash:', config: (url) => ({ kind: 'gemini', base_url: url }) },
    {
        name: 'azure', model: 'prod', path: '/openai/deployments/prod/chat/completions',
        config: (url) => ({ kind: 'openai', dialect: 'azure', api_version: '2024-10-21', base_url: url }),
    },
    { name: 'router', model: 'openai/gpt-4o', path: '/api/v1/chat/completions', config: (url) => ({ kind: 'openai', base_url: `${url}/api/v1` }) },
];

let mock;

before(async () => {
    if (skip) return;
    const { LLMock } = await import(pathToFileURL(file));
    mock = new LLMock({ port: 0, chunkSize: 6, latency: 15, logLevel: 'silent' });
    await mock.start();
});
after(() => mock?.stop());

// Runs it while somebody reads its events; gives those and the run.
async function watch(service, json) {
    const events = await readAll(await openEvents(service.port, '/v1/runs', { json }));
    const { json: run } = await service.get(`/v1/runs/${events[0].data.run_id}`);
    return { events, run, text: events.filter(({ type }) => type === 'step.delta').map(({ data }) => data.text).join('') };
}

// A service that knows the provider at the stand-in, which answers by these fixtures alone.
async function begin(t, provider, fixtures) {
    mock.reset();
    mock.addFixturesFromJSON(fixtures);
    const home = place(t);
    const settings = { ...provider.config(mock.url), api_key: 'test-key-1234' };
    const config = home.file('plait.json', { providers: { [provider.name]: settings } });
    return startService(t, { args: ['--config', config] });
}

const step = (provider, prompt, more = {}) => ({ llm: { model: `${provider.name}/${provider.model}`, prompt, ...more } });
const workflow = (steps) => ({ name: 'w', defaults: { retry: { attempts: 2, initial: '10ms' } }, steps });
const asked = () => mock.getRequests().map(({ path: resource, body, headers }) => ({ resource, body, headers }));
const textOf = ({ content }) => (typeof content === 'string' ? content : (content ?? []).map(({ text }) => text ?? '').join(''));

function checkPlaces(provider) {
    for (const { resource } of asked()) assert.ok(resource.startsWith(provider.path), `${resource} is not ${provider.path}`);
}

const hello = 'Olá, 12 € – how are you today?';

for (const provider of providers) {
    test(`${provider.name}: a plain call`, { ...limit, skip }, async (t) => {
        const service = await begin(t, provider, [{ match: { userMessage: 'hello' }, response: { content: hello } }]);
        const more = { system: 'be kind', temperature: 0.5, max_tokens: 100, stop: ['END'] };
        const run = await service.run({ workflow: workflow({ say: step(provider, 'hello there', more) }) });
        assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
        assert.deepEqual(run.output, hello);
        const [say] = await service.steps(run.id);
        assert.equal(say.call.finish_reason, 'stop');
        assert.equal(say.usage.calls, 1);
        checkPlaces(provider);
        const [{ body }] = asked();
        assert.equal(asked().length, 1);
        assert.deepEqual(body.messages.map((message) => [message.role, textOf(message)]), [['system', 'be kind'], ['user', 'hello there']]);
        assert.ok(!body.stream, 'nobody watches: one body');
        assert.equal(body.temperature, 0.5);
    });

    test(`${provider.name}: a streamed call`, { ...limit, skip }, async (t) => {
        const service = await begin(t, provider, [{ match: { userMessage: 'hello' }, response: { content: hello } }]);
        const { run, text } = await watch(service, { workflow: workflow({ say: step(provider, 'hello') }) });
        assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
        assert.equal(text, hello);
        assert.equal(run.output, hello);
        checkPlaces(provider);
        assert.equal(asked()[0].body.stream, true);
    });

    for (const streamed of [false, true]) {
        test(`${provider.name}: an agent calls two tools at once${streamed ? ', streamed' : ''}`, { ...limit, skip }, async (t) => {
            const service = await begin(t, provider, [
                {
                    match: { userMessage: 'find', hasToolResult: false },
                    response: { toolCalls: [{ name: 'search', arguments: { q: 'chá é bom', n: 2 } }, { name: 'clock', arguments: {} }] },
                },
                { match: { userMessage: 'find', hasToolResult: true }, response: { content: 'It is noon.' } },
            ]);
            const tools = {
                search: {
                    description: 'looks something up',
                    parameters: { type: 'object', required: ['q'], properties: { q: { type: 'string', minLength: 1 }, n: { type: 'integer' } } },
                    do: { reduce: '${ .args.n } of ${ .args.q }' },
                },
                clock: { do: { reduce: { time: 'noon' } } },
            };
            const agent = { model: `${provider.name}/${provider.model}`, prompt: 'find it', tools };
            const json = { workflow: workflow({ helper: { agent } }) };
            const run = streamed ? (await watch(service, json)).run : await service.run(json);
            assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
            assert.equal(run.output, 'It is noon.');
            checkPlaces(provider);
            const [first, second] = asked().map(({ body }) => body);
            assert.equal(asked().length, 2);
            assert.deepEqual(first.tools.map((tool) => tool.function.name), ['search', 'clock']);
            assert.equal(first.tools[0].function.description, 'looks something up');
            // it does not know the newer of Gemini's two names for them
            if (provider.name !== 'gemini') assert.equal(first.tools[0].function.parameters.properties.q.type, 'string');
            const calls = second.messages.flatMap((message) => message.tool_calls ?? []);
            assert.deepEqual(calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
                [['search', { q: 'chá é bom', n: 2 }], ['clock', {}]]);
            const results = second.messages.filter(({ role }) => role === 'tool').map(textOf);
            assert.equal(results.length, 2);
            assert.match(results[0], /2 of chá é bom/);
            assert.match(results[1], /noon/);
        });
    }

    test(`${provider.name}: a structured call`, { ...limit, skip }, async (t) => {
        const service = await begin(t, provider, [{ match: { userMessage: 'person' }, response: { content: '{"name":"Ann","age":7}' } }]);
        const schema = {
            type: 'object', required: ['name', 'age'], additionalProperties: false,
            properties: { name: { type: 'string', minLength: 1 }, age: { type: 'integer', minimum: 0 } },
        };
        for (const streamed of [false, true]) {
            const json = { workflow: workflow({ who: step(provider, 'a person', { schema }) }) };
            const run = streamed ? (await watch(service, json)).run : await service.run(json);
            assert.deepEqual(run.output, { name: 'Ann', age: 7 }, JSON.stringify(run.error));
        }
        assert.equal(asked().length, 2, 'nothing was repaired');
    });

    test(`${provider.name}: an answer that does not fit is asked for again`, { ...limit, skip }, async (t) => {
        const service = await begin(t, provider, [
            { match: { userMessage: 'a number', turnIndex: 0 }, response: { content: 'seven' } },
            { match: { userMessage: 'does not fit', turnIndex: 1 }, response: { content: '{"n":7}' } },
        ]);
        const schema = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } };
        const run = await service.run({ workflow: workflow({ count: step(provider, 'a number', { schema }) }) });
        assert.deepEqual(run.output, { n: 7 }, JSON.stringify(run.error));
        assert.deepEqual(asked()[1].body.messages.map(({ role }) => role), ['user', 'assistant', 'user']);
    });

    test(`${provider.name}: a 429 is waited for and a wrong key is not tried again`, { ...limit, skip }, async (t) => {
        const service = await begin(t, provider, [{ match: { userMessage: 'hello' }, response: { content: hello } }]);
        const json = { workflow: workflow({ say: step(provider, 'hello') }) };
        mock.nextRequestError(429, { message: 'slowly', type: 'rate_limit_error' });
        const run = await service.run(json);
        assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
        assert.equal(asked().length, 2);
        mock.nextRequestError(401, { message: 'who are you?', type: 'authentication_error' });
        const refused = await service.run(json);
        assert.equal(refused.status, 'failed');
        assert.equal(refused.error.code, 'auth_failed', JSON.stringify(refused.error));
        assert.equal(asked().length, 3);
    });

    test(`${provider.name}: a stream that is cut is no answer`, { ...limit, skip }, async (t) => {
        const service = await begin(t, provider, [{ match: { userMessage: 'hello' }, response: { content: hello }, truncateAfterChunks: 3 }]);
        const json = { workflow: workflow({ say: step(provider, 'hello') }) };
        const { run } = await watch(service, json);
        assert.equal(run.status, 'failed');
        assert.equal(run.error.code, 'truncated_response', JSON.stringify(run.error));
        assert.equal(asked().length, 2, 'tried as often as the workflow says');
    });
}

test('gemini: thoughts are kept out of the answer', { ...limit, skip }, async (t) => {
    const provider = providers.find(({ name }) => name === 'gemini');
    const service = await begin(t, provider, [{ match: { userMessage: 'hello' }, response: { content: hello, reasoning: 'Let me think about that.' } }]);
    const json = { workflow: workflow({ say: step(provider, 'hello') }) };
    assert.deepEqual((await service.run(json)).output, hello);
    assert.equal((await watch(service, json)).text, hello);
});
