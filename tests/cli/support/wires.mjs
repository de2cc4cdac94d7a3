// wires.mjs - how each provider's server answers, refuses and breaks, in its own format: the least that fault_table.test.mjs
// needs. Not a whole stand-in (tests/fake_model).

const sse = (value) => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`;

// What is refused: by status and provider's own words.
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
    quota: { status: 429 },
    key: { status: 401 },
    reset: (ms) => ({ 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': `${ms / 1000}s` }),
};

export const wires = [openai];
