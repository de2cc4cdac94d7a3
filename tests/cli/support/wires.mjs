// wires.mjs - how each provider's server answers, refuses and breaks, in its own format: the least that fault_table.test.mjs
// needs. Not a whole stand-in (tests/fake_model).

const sse = (value) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;

// Each: env of plait for a server at `url`; asksStream of what came in; whole answers and the events of streamed ones; the body of a
// refusal, of one with a hint of its own kind (headers or words in the body), an error as an event of a stream, and the statuses of
// what has no fixed one.
const openai = {
    name: 'openai',
    env: (url) => ({ OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: 'k-of-a-test' }),
    asksStream: (request) => JSON.parse(request.body).stream === true,
    whole: (text) => ({
        id: 'c1', object: 'chat.completion', model: 'm',
        choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
    }),
    stream: (text) => [
        ...text.split(/(?= )/).map((content) => sse({ id: 'c1', choices: [{ index: 0, delta: { content }, finish_reason: null }] })),
        sse({ id: 'c1', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }),
        sse('[DONE]'),
    ],
    error: (status, what) => ({
        error: {
            rate: { message: 'Rate limit reached', type: 'requests', code: 'rate_limit_exceeded' },
            quota: { message: 'You exceeded your current quota', type: 'insufficient_quota', code: 'insufficient_quota' },
            key: { message: 'Incorrect API key provided', type: 'invalid_request_error', code: 'invalid_api_key' },
            context: { message: 'This model\'s maximum context length is 8 tokens', type: 'invalid_request_error', code: 'context_length_exceeded' },
            overloaded: { message: 'Overloaded', type: 'server_error', code: null },
            server: { message: 'The server had an error', type: 'server_error', code: null },
        }[what],
    }),
    errorEvent: () => sse({ error: { message: 'Overloaded', type: 'overloaded_error', code: 'engine_overloaded' } }),
    quotaStatus: 429,
    keyStatus: 401,
    hintName: 'reset headers',
    hint: (ms) => ({ headers: { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': `${ms / 1000}s` }, body: openai.error(429, 'rate') }),
};

const candidate = (text, more = {}) => ({ candidates: [{ content: { role: 'model', parts: [{ text }] }, index: 0, ...more }] });
const geminiError = (code, status, message, details) => ({ error: { code, message, status, ...(details ? { details } : {}) } });

const gemini = {
    name: 'gemini',
    env: (url) => ({ GEMINI_BASE_URL: url, GEMINI_API_KEY: 'k-of-a-test' }),
    asksStream: (request) => request.url.includes(':streamGenerateContent'),
    whole: (text) => ({ ...candidate(text, { finishReason: 'STOP' }), usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 3, totalTokenCount: 6 } }),
    stream: (text) => {
        const words = text.split(/(?= )/);
        return words.map((word, i) => sse(candidate(word, i + 1 < words.length ? {} : { finishReason: 'STOP' })));
    },
    error: (status, what) => ({
        rate: geminiError(429, 'RESOURCE_EXHAUSTED', 'Resource has been exhausted (e.g. check quota).'),
        quota: geminiError(429, 'RESOURCE_EXHAUSTED', 'You exceeded your current quota', [
            { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier' }] },
        ]),
        key: geminiError(400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.', [
            { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID', domain: 'googleapis.com' },
        ]),
        context: geminiError(400, 'INVALID_ARGUMENT', 'The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).'),
        overloaded: geminiError(status, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'),
        server: geminiError(500, 'INTERNAL', 'An internal error has occurred.'),
    }[what]),
    errorEvent: () => sse(gemini.error(503, 'overloaded')),
    quotaStatus: 429,
    keyStatus: 400,
    hintName: 'retryDelay in the body',
    hint: (ms) => ({
        headers: {},
        body: geminiError(429, 'RESOURCE_EXHAUSTED', 'You exceeded your current quota', [
            { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: [{ quotaId: 'GenerateRequestsPerMinutePerProjectPerModel' }] },
            { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${ms / 1000}s` },
        ]),
    }),
};

const event = (value) => `event: ${value.type}\n${sse(value)}`;

const anthropic = {
    name: 'anthropic',
    env: (url) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'k-of-a-test' }),
    asksStream: (request) => JSON.parse(request.body).stream === true,
    whole: (text) => ({
        id: 'msg_1', type: 'message', role: 'assistant', model: 'm', content: [{ type: 'text', text }],
        stop_reason: 'end_turn', stop_sequence: null, usage: { input_tokens: 3, output_tokens: 3 },
    }),
    stream: (text) => [
        event({ type: 'message_start', message: { ...anthropic.whole(''), content: [], stop_reason: null } }),
        event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
        ...text.split(/(?= )/).map((word) => event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: word } })),
        event({ type: 'content_block_stop', index: 0 }),
        event({ type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 3 } }),
        event({ type: 'message_stop' }),
    ],
    error: (status, what) => {
        const [type, message] = {
            rate: ['rate_limit_error', 'This request would exceed the rate limit'],
            quota: ['invalid_request_error', 'Your credit balance is too low to access the Anthropic API.'],
            key: ['authentication_error', 'invalid x-api-key'],
            context: ['invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum'],
            overloaded: ['overloaded_error', 'Overloaded'],
            server: ['api_error', 'Internal server error'],
        }[what];
        return { type: 'error', error: { type, message } };
    },
    errorEvent: () => event(anthropic.error(529, 'overloaded')),
    quotaStatus: 400,
    keyStatus: 401,
    hintName: 'reset headers',
    hint: (ms) => ({
        headers: { 'anthropic-ratelimit-requests-remaining': '0', 'anthropic-ratelimit-requests-reset': new Date(Date.now() + ms).toISOString() },
        body: anthropic.error(429, 'rate'),
    }),
};

export const wires = [openai, anthropic, gemini];
