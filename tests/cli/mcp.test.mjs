// mcp.test.mjs - agents with MCP servers from outside: both eras of the protocol, what goes wrong with a server, secrets,
// addresses, crashes. The stand-in model calls tools by a script. Not the servers of npm (tests/http/mcp.test.mjs) and not what
// follows from what in a run (scenarios agent_mcp_*).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { startMcp, stream, text } from './support/mcp.mjs';
import { startModel } from './support/model.mjs';
import { limit, place, plait, run, until } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

const call = (name, args = {}) => ({ name, arguments: args });

// The agent's document, for a stand-in model that gives these answers, and a configuration that allows the servers.
async function prepare(t, servers, answers, { agent = {}, step = {}, config = '' } = {}) {
    const home = place(t);
    const model = await startModel(t);
    const prompt = `find out ${JSON.stringify({ fake: { answers } })}`;
    const mcp = servers.map((server) => ({ url: `${server.url}/mcp`, ...server.more }));
    const steps = { helper: { agent: { model: 'openai/m', prompt, mcp, ...agent }, retry: { attempts: 1 }, ...step } };
    const file = home.file('w.json', { steps });
    const ports = servers.filter((server) => !server.denied).map(({ port }) => `"127.0.0.1:${port}"`);
    const configured = home.file('config.yaml', `network: {allow_private: [${ports.join(', ')}]}\n${config}`);
    return { home, model, file, args: ['run', file, '--json', '--config', configured] };
}

async function talk(t, servers, answers, options = {}) {
    const { home, model, args } = await prepare(t, servers, answers, options);
    const result = await run(t, home, args, { env: { ...model.env, ...options.env } });
    const got = parseRun(result);
    return { ...result, got, told: String(got.output).split(' | '), calls: await model.allCalls() };
}

const echo = { call: ({ words }) => text(`echo ${words}`), schema: { type: 'object', required: ['words'], properties: { words: { type: 'string' } } } };

for (const sessions of [false, true]) {
    const era = sessions ? 'a server of sessions' : 'a server of the newest revision';

    test(`${era} lists its tools on pages, and calls of one turn run at once`, limit, async (t) => {
        for (const sse of [false, true]) {
            let open = 0;
            let meet;
            const together = new Promise((resolve) => (meet = resolve));
            const wait = async () => {
                if (++open === 2) meet();
                await together;
                return text('met');
            };
            const server = await startMcp(t, { sessions, sse, page: 2, tools: { echo, one: wait, two: wait, 'last.one': () => ({ content: [], structuredContent: { n: 7 } }) } });
            const answers = [{ tool_calls: [call('one'), call('two'), call('echo', { words: 'tea' }), call('last_one')] }, '$tools'];
            const { got, told, calls } = await talk(t, [server], answers);
            assert.equal(got.status, 'succeeded');
            assert.deepEqual(told, ['met', 'met', 'echo tea', '{"n":7}']);
            assert.deepEqual(calls.map((entry) => entry.tools), [4, 4]);
            assert.equal(server.of('tools/list').length, sessions ? 3 : 2); // with sessions the first try of the newest revision
            assert.equal(server.of('tools/call').length, 4);
            assert.equal(server.of('initialize').length, sessions ? 1 : 0);
            assert.equal(got.step['helper.0.echo'].kind, 'mcp');
            assert.equal(got.step['helper.0.last_one'].status, 'succeeded');
            assert.equal(server.failure, undefined);
            if (sessions) await until(() => server.of('DELETE').length === 1, 'the end of the session');
        }
    });

    test(`${era}: wrong arguments, failures and a tool that wants more are told to the model`, limit, async (t) => {
        const tools = {
            echo,
            fails: () => ({ ...text('the printer burns'), isError: true }),
            asks: () => ({ resultType: 'input_required', inputRequests: {}, requestState: 'x' }),
            empty: () => ({}),
        };
        const server = await startMcp(t, { sessions, tools });
        const answers = [{ tool_calls: [call('echo', { words: 7 }), call('echo', '{"words": '), call('fails'), call('asks'), call('empty'), call('gone')] }, '$tools'];
        const { got, told } = await talk(t, [server], answers);
        assert.equal(got.status, 'succeeded');
        assert.match(told[0], /do not fit.*\/words/);
        assert.match(told[1], /not valid JSON/);
        assert.equal(told[2], '{"error":"the printer burns"}');
        assert.match(told[3], /more input/);
        assert.match(told[4], /no content/);
        assert.match(told[5], /no such tool: gone/);
        assert.equal(server.of('tools/call').length, 3); // what is wrong in itself is not sent
        assert.equal(server.failure, undefined);
    });

    test(`${era}: a stream that breaks off is no answer, and the call is not made again`, limit, async (t) => {
        const server = await startMcp(t, {
            sessions,
            tools: { pay: () => text('paid') },
            answer: (message, response) => {
                if (message.method !== 'tools/call') return false;
                stream(response, [{ jsonrpc: '2.0', method: 'notifications/message', params: {} }], false);
                response.write('data: {"jsonrpc":"2.0","id":1,"res');
                setTimeout(() => response.destroy(), 20);
                return true;
            },
        });
        const { got, told } = await talk(t, [server], [{ tool_calls: [call('pay')] }, '$tools'], { step: { retry: { attempts: 3, initial: '10ms' } } });
        assert.equal(got.status, 'succeeded');
        assert.match(told[0], /the tool failed/);
        assert.equal(got.step['helper.0.pay'].error.code, 'truncated_response');
        assert.equal(server.of('tools/call').length, 1);
    });

    test(`${era}: a tool that is too slow is given up, and the server hears of it`, limit, async (t) => {
        let closed = 0;
        const server = await startMcp(t, {
            sessions,
            tools: { slow: () => text('late') },
            answer: (message, response) => {
                if (message.method !== 'tools/call') return false;
                response.on('close', () => closed++);
                return true;
            },
        });
        server.more = { timeout: '2s' };
        const { got, told } = await talk(t, [server], [{ tool_calls: [call('slow')] }, '$tools']);
        assert.equal(got.status, 'succeeded', JSON.stringify(got.error));
        assert.match(told[0], /the tool failed/);
        assert.equal(got.step['helper.0.slow'].error.code, 'timeout');
        await until(() => closed === 1, 'the connection to be closed');
        if (sessions) await until(() => server.of('notifications/cancelled').length === 1, 'the word about it');
        assert.equal(server.of('tools/call').length, 1);
    });
}

test('a session that the server has forgotten is begun anew, and the call made once', limit, async (t) => {
    const server = await startMcp(t, { sessions: true, tools: { one: () => (server.forget(), text('first')), two: () => text('second') } });
    const { told } = await talk(t, [server], [{ tool_calls: [call('one')] }, { tool_calls: [call('two')] }, '$tools']);
    assert.deepEqual(told, ['first', 'second']);
    assert.equal(server.of('initialize').length, 2);
    assert.equal(server.of('tools/call').length, 3); // one of them was refused
});

test('a server that is dead from the start is told to the model, or fails an agent that requires it', limit, async (t) => {
    const alive = await startMcp(t, { tools: { echo } });
    const dead = { url: 'http://127.0.0.1:1', port: 1 };
    const answers = [{ tool_calls: [call('echo', { words: 'tea' })] }, '$tools'];
    const { got, told } = await talk(t, [dead, alive], answers);
    assert.equal(got.status, 'succeeded');
    assert.deepEqual(told, ['echo tea']);
    assert.equal(got.step['helper.mcp.0'].error.code, 'unreachable');
    const required = await talk(t, [{ ...dead, more: { required: true } }, alive], answers);
    assert.equal(required.got.status, 'failed');
    assert.equal(required.got.error.code, 'unreachable');
    assert.equal(required.calls.length, 0);
});

test('a server that dies while the agent works is told to the model', limit, async (t) => {
    let gone = false;
    const server = await startMcp(t, {
        tools: { echo },
        answer: (message, response) => {
            gone ||= message.method === 'tools/call' && message.params.arguments.words === 'last';
            if (gone) response.destroy();
            return gone;
        },
    });
    const answers = [{ tool_calls: [call('echo', { words: 'tea' })] }, { tool_calls: [call('echo', { words: 'last' }), call('echo', { words: 'more' })] }, '$tools'];
    const { got, told } = await talk(t, [server], answers);
    assert.equal(got.status, 'succeeded');
    assert.equal(told[0], 'echo tea');
    assert.match(told[1], /the tool failed/);
    assert.match(told[2], /the tool failed/);
});

test('only the tools that are named are offered, and names that are taken are changed', limit, async (t) => {
    const one = await startMcp(t, { tools: { clock: () => text('clock of one'), 'look-2': () => text('look of one'), hidden: () => text('hidden') } });
    const two = await startMcp(t, { tools: { clock: () => text('clock of two') } });
    one.more = { tools: ['clock', 'look-2'] };
    const tools = { clock: { do: { reduce: 'own clock' } } };
    const answers = [{ tool_calls: [call('clock'), call('clock_2'), call('clock_3'), call('look_2'), call('hidden')] }, '$tools'];
    const { told, calls } = await talk(t, [one, two], answers, { agent: { tools } });
    assert.deepEqual(told.slice(0, 4), ['own clock', 'clock of one', 'clock of two', 'look of one']);
    assert.match(told[4], /no such tool/);
    assert.equal(calls[0].tools, 4);
});

test('arguments that a tool marks go into headers as well', limit, async (t) => {
    const schema = { type: 'object', properties: { region: { type: 'string', 'x-mcp-header': 'Region' }, n: { type: 'integer', 'x-mcp-header': 'N' }, b: { type: 'boolean', 'x-mcp-header': 'B' } } };
    const wrong = { type: 'object', properties: { list: { type: 'array', 'x-mcp-header': 'List' } } };
    const server = await startMcp(t, { tools: { query: { call: () => text('ok'), schema }, wrong: { call: () => text('no'), schema: wrong } } });
    const { told, calls } = await talk(t, [server], [{ tool_calls: [call('query', { region: 'Zürich', n: 7 })] }, '$tools']);
    const { headers } = server.of('tools/call')[0];
    assert.deepEqual(told, ['ok']);
    assert.equal(calls[0].tools, 1);
    assert.equal(headers['mcp-param-region'], `=?base64?${Buffer.from('Zürich').toString('base64')}?=`);
    assert.equal(headers['mcp-param-n'], '7');
    assert.equal(headers['mcp-param-b'], undefined);
});

test('a private address is not called unless the configuration allows it', limit, async (t) => {
    const server = await startMcp(t, { tools: { echo } });
    server.denied = true;
    const { got } = await talk(t, [server], ['done']);
    assert.equal(got.step['helper.mcp.0'].error.code, 'address_denied');
    assert.equal(server.connections, 0);
});

test('a secret goes to the servers it is bound to, and nowhere else', limit, async (t) => {
    const canary = 'sk-canary-b51e7f3a9c51e2d8';
    const own = await startMcp(t, { sessions: true, tools: { leak: () => text(`your key is ${canary}`) } });
    const other = await startMcp(t, { tools: { echo } });
    own.more = { auth: 'crm' };
    other.more = { auth: { header: 'X-Api-Key', secret: 'crm' } };
    const config = `secrets:\n  crm: {value: "\${CRM_KEY}", origins: ["${own.url}"]}\n`;
    const result = await talk(t, [own, other], [{ tool_calls: [call('leak')] }, '$tools'], { config, env: { CRM_KEY: canary } });
    assert.equal(result.got.status, 'succeeded', result.err);
    assert.ok(own.messages.every(({ headers }) => headers.authorization === `Bearer ${canary}`));
    assert.equal(result.got.step['helper.mcp.1'].error.code, 'secret_denied');
    assert.equal(other.requests.length, 0);
    assert.match(result.told[0], /your key is/);
    for (const place of [result.out, result.err]) assert.ok(!place.includes(canary));
    await until(() => own.of('DELETE').length === 1, 'the end of the session');
});

test('after a kill -9 the tools are not listed again, and a call in flight is not made again', limit, async (t) => {
    let reached;
    const inFlight = new Promise((resolve) => (reached = resolve));
    const server = await startMcp(t, {
        tools: { echo, pay: () => text('paid') },
        answer: (message) => {
            if (message.method !== 'tools/call' || message.params.name !== 'pay') return false;
            reached();
            return true;
        },
    });
    const answers = [{ tool_calls: [call('echo', { words: 'tea' })] }, { tool_calls: [call('pay')] }, '$tools'];
    const { home, model, args } = await prepare(t, [server], answers);
    const first = plait(t, home, args, { env: model.env });
    const [, id] = await first.said(/^run (run_\w+)$/m);
    await inFlight;
    first.kill('SIGKILL');
    await first.done;
    const result = await run(t, home, ['run', '--resume', id, '--json', ...args.slice(3)], { env: model.env });
    const got = parseRun(result);
    assert.equal(got.status, 'succeeded', result.err);
    const told = got.output.split(' | ');
    assert.equal(told[0], 'echo tea');
    assert.match(told[1], /in flight when the process died/);
    assert.equal(server.of('tools/list').length, 1);
    assert.equal(server.of('tools/call').length, 2);
});

test('a recording of an agent with an MCP server plays back without the server', limit, async (t) => {
    const server = await startMcp(t, { sessions: true, tools: { echo } });
    const answers = [{ tool_calls: [call('echo', { words: 'tea' }), call('echo', { words: 7 })] }, '$tools'];
    const { home, model, file, args } = await prepare(t, [server], answers);
    const recorded = await run(t, home, ['test', file, '--record', ...args.slice(3)], { env: model.env });
    assert.equal(recorded.code, 0, recorded.err + recorded.out);
    await until(() => server.of('DELETE').length === 1, 'the end of the session');
    const asked = server.requests.length;
    const played = await run(t, home, ['test', file], {});
    assert.equal(played.code, 0, played.err + played.out);
    assert.equal(server.requests.length, asked);
    const kept = fs.readFileSync(home.path('w.recording.json'), 'utf8');
    assert.match(kept, /echo tea/);
});
