// gemini.test.mjs - the Gemini API from outside: a scripted server, and what the program makes of its signatures, its hints and its
// ways to say no. Not the format's details (test_gemini*.c) and not others' stand-ins (tests/http/standins.test.mjs).
import assert from 'node:assert/strict';
import http from 'node:http';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { limit, place, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

// Answers the nth call with the nth of these, {status, json}; the last one again and again. Gives what came.
async function startGemini(t, answers) {
    const calls = [];
    const server = http.createServer((request, response) => {
        const pieces = [];
        request.on('data', (piece) => pieces.push(piece));
        request.on('end', () => {
            const answer = answers[Math.min(calls.length, answers.length - 1)];
            const body = JSON.parse(Buffer.concat(pieces).toString('utf8'));
            calls.push({ at: performance.now(), path: request.url, headers: request.headers, body });
            response.writeHead(answer.status ?? 200, { 'content-type': 'application/json; charset=UTF-8' });
            response.end(JSON.stringify(answer.json));
        });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    return { calls, env: { GEMINI_API_KEY: 'AIza-test-key', GEMINI_BASE_URL: `http://127.0.0.1:${server.address().port}` } };
}

const candidate = (parts, finishReason = 'STOP') => ({
    json: {
        candidates: [{ content: { role: 'model', parts }, finishReason, index: 0 }],
        usageMetadata: { promptTokenCount: 20, cachedContentTokenCount: 5, candidatesTokenCount: 3, thoughtsTokenCount: 40 },
        responseId: 'answer-1',
    },
});
const no = (code, message, details = []) => ({ status: code, json: { error: { code, message, status: 'X', details } } });
const retry = (retryDelay) => ({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay });
const quota = (quotaId) => ({ '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: [{ quotaId }] });

async function say(t, answers, more = {}) {
    const home = place(t);
    const server = await startGemini(t, answers);
    const file = home.file('w.json', {
        defaults: { retry: { attempts: 3, initial: '10ms' } },
        steps: { say: { llm: { model: 'gemini/gemini-2.5-flash', prompt: 'hello', ...more } } },
    });
    const result = await run(t, home, ['run', file, '--json'], { env: server.env });
    return { run: parseRun(result), calls: server.calls };
}

test('what a model has signed goes back to it as it came, with what the tools gave', limit, async (t) => {
    const home = place(t);
    const parts = [
        { text: 'I look.' },
        { functionCall: { id: 'f1', name: 'search', args: { q: 'é' } }, thoughtSignature: 'CiQB/+sig==' },
        { functionCall: { name: 'clock', args: {} } },
    ];
    const server = await startGemini(t, [candidate([{ text: 'thinking', thought: true }, ...parts]), candidate([{ text: 'noon' }])]);
    const tools = {
        search: { parameters: { type: 'object', properties: { q: { type: 'string' } } }, do: { reduce: { found: '${ .args.q }' } } },
        clock: { do: { reduce: 'twelve' } },
    };
    const agent = { model: 'gemini/gemini-3-pro-preview', prompt: 'when?', tools };
    const file = home.file('w.json', { steps: { helper: { agent } } });
    const result = await run(t, home, ['run', file, '--json'], { env: server.env });
    const { output, status, error } = parseRun(result);
    assert.equal(status, 'succeeded', JSON.stringify(error));
    assert.equal(output, 'noon');
    assert.equal(server.calls.length, 2);
    for (const { path, headers } of server.calls) {
        assert.equal(path, '/v1beta/models/gemini-3-pro-preview:generateContent');
        assert.equal(headers['x-goog-api-key'], 'AIza-test-key');
    }
    assert.deepEqual(server.calls[1].body.contents, [
        { role: 'user', parts: [{ text: 'when?' }] },
        { role: 'model', parts },
        {
            role: 'user', parts: [
                { functionResponse: { id: 'f1', name: 'search', response: { output: { found: 'é' } } } },
                { functionResponse: { name: 'clock', response: { output: 'twelve' } } },
            ],
        },
    ]);
});

test('tokens and the reason of the end are told', limit, async (t) => {
    const { run: whole } = await say(t, [candidate([{ text: 'hi' }])]);
    assert.equal(whole.output, 'hi');
    const { usage, call } = whole.step.say;
    assert.deepEqual([usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens], [20, 5, 43, 40]);
    assert.deepEqual(call, { finish_reason: 'stop', response_id: 'answer-1' });
});

test('a delay in the body of a 429 is waited for', limit, async (t) => {
    const { run: whole, calls } = await say(t, [no(429, 'slowly', [quota('RequestsPerMinute'), retry('0.4s')]), candidate([{ text: 'hi' }])]);
    assert.equal(whole.status, 'succeeded', JSON.stringify(whole.error));
    assert.equal(calls.length, 2);
    assert.ok(calls[1].at - calls[0].at >= 390, `asked again after ${calls[1].at - calls[0].at} ms`);
});

for (const [what, answer, code] of [
    ['the quota of a day that is used up', no(429, 'enough', [quota('RequestsPerDay'), retry('1s')]), 'quota_exceeded'],
    ['a key that is not valid', no(400, 'API key not valid.', [{ reason: 'API_KEY_INVALID' }]), 'auth_failed'],
    ['a prompt that is too long', no(400, 'The input token count (9) exceeds the maximum number of tokens allowed (5).'), 'context_too_long'],
    ['a prompt that is blocked', { json: { promptFeedback: { blockReason: 'SAFETY' } } }, 'content_filtered'],
    ['an answer that is filtered', candidate([{ text: 'half' }], 'RECITATION'), 'content_filtered'],
]) {
    test(`${what} is not tried again`, limit, async (t) => {
        const { run: whole, calls } = await say(t, [answer]);
        assert.equal(whole.status, 'failed');
        assert.equal(whole.error.code, code, JSON.stringify(whole.error));
        assert.equal(calls.length, 1);
        assert.ok(!JSON.stringify(whole).includes('AIza-test-key'));
    });
}

test('a fault of the server is tried again', limit, async (t) => {
    const { run: whole, calls } = await say(t, [no(503, 'overloaded'), candidate([], 'OTHER'), candidate([{ text: 'hi' }])]);
    assert.equal(whole.status, 'succeeded', JSON.stringify(whole.error));
    assert.equal(calls.length, 3);
});
