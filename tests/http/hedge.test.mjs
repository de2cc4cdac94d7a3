// hedge.test.mjs - what a reader of a run's events sees of several equal calls for one answer. Which calls are made is in
// tests/cli/hedge.test.mjs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limit, until } from '../cli/support/plait.mjs';
import { startServer } from '../cli/support/server.mjs';
import { openEvents } from './support/events.mjs';
import { startService } from './support/service.mjs';

const event = (content, finish = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;
const begin = (response) => response.writeHead(200, { 'content-type': 'text/event-stream' });
const end = (response, text) => response.end(event(text) + event('', 'stop') + 'data: [DONE]\n\n');

// The text a reader has at the end, and what it had before each reset.
function texts(events) {
    const found = [''];
    for (const { type, data } of events)
        if (type === 'step.reset') found.push('');
        else if (type === 'step.delta' && data.path === 'a') found[found.length - 1] += data.text;
    return found;
}

// `serve(n, response, said)` answers the n-th call; `said(text)` resolves when the reader has that text.
async function readRun(t, serve) {
    const events = [];
    const said = (text) => until(() => texts(events).at(-1).includes(text), `'${text}' to be read`);
    const server = await startServer(t, (request, response, n) => serve(n, response, said));
    const service = await startService(t, { env: { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: 'k' } });
    const workflow = { name: 'w', steps: { a: { retry: { attempts: 1 }, llm: { model: 'openai/m', prompt: 'x', hedge: { after: '100ms' } } } }, output: '${ .steps.a.output }' };
    const reader = await openEvents(service.port, '/v1/runs', { json: { workflow, stream: true }, onEvent: (found) => events.push(found) });
    await reader.done;
    assert.equal(server.failure, undefined);
    const last = events.at(-1);
    assert.equal(last.type, 'run.succeeded', JSON.stringify(last));
    return { events, server, output: last.data.output ?? last.data.run?.output };
}

test('only the first to speak is streamed', limit, async (t) => {
    let first;
    const { events, output, server } = await readRun(t, async (n, response, said) => {
        begin(response);
        if (n === 1) return void (first = response); // it speaks when the other has spoken
        response.write(event('two, '));
        await said('two, ');
        first.write(event('one, '));
        end(response, 'and all');
    });
    assert.equal(server.requests.length, 2);
    assert.equal(output, 'two, and all');
    assert.deepEqual(texts(events), ['two, and all']);
});

test('when the one that is streamed fails, the text is taken back and the other is told from its beginning', limit, async (t) => {
    let first;
    const { events, output } = await readRun(t, async (n, response, said) => {
        begin(response);
        if (n === 1) return void (first = response);
        response.write(event('two, '));
        await said('two, ');
        first.write(event('one, '));
        response.destroy();
        await said('one, ');
        end(first, 'and all');
    });
    assert.equal(output, 'one, and all');
    assert.deepEqual(texts(events), ['two, ', 'one, and all']);
});
