// actor.mjs - a model server whose answers a test writes as a function of the request, for conversations that go back and forth. Not
// the stand-in model (model.mjs), which logs, waits and fails. Used by tests/cli/graphs.test.mjs.
import { json, startServer } from './server.mjs';

// `play({messages, last, tools, schema})` gives a text, or {call: {name: arguments}}, or any other value, which is sent as JSON.
export async function startActor(t, play) {
    const server = await startServer(t, async ({ body }, response) => {
        const { messages, tools = [], response_format: format, stream } = JSON.parse(body);
        const value = await play({
            messages,
            system: messages[0].role === 'system' ? messages[0].content : '',
            last: messages.at(-1),
            tools: tools.map((tool) => tool.function.name),
            schema: format?.json_schema?.schema,
        });
        const calls = Object.entries(value?.call ?? {}).map(([name, args], index) => ({
            index, id: `call_${index}`, type: 'function', function: { name, arguments: JSON.stringify(args) },
        }));
        const content = typeof value === 'string' ? value : JSON.stringify(value);
        const message = calls.length ? { role: 'assistant', content: null, tool_calls: calls } : { role: 'assistant', content };
        const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
        const finish_reason = calls.length ? 'tool_calls' : 'stop';
        if (!stream) {
            json(response, 200, { id: 'x', object: 'chat.completion', choices: [{ index: 0, message, finish_reason }], usage });
            return;
        }
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: message }] })}\n\n`);
        response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason }] })}\n\n`);
        response.end(`data: ${JSON.stringify({ choices: [], usage })}\n\ndata: [DONE]\n\n`);
    });
    const requests = () => server.requests.map(({ body }) => JSON.parse(body));
    return { env: { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: 'k' }, requests };
}
