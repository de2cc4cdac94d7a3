// mcp.test.mjs - agents with the MCP servers that others wrote: server-everything (sessions) and one made with the SDK of the
// newest revision, both from npm and over HTTP. What a server can do wrong is in tests/cli/mcp.test.mjs.
//
// PLAIT_NODE_MODULES names the folder with the packages (tests/run.sh installs them); without it these tests are skipped.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { startMcp, text } from '../cli/support/mcp.mjs';
import { startModel } from '../cli/support/model.mjs';
import { environment, folder, limit, start, until } from '../cli/support/plait.mjs';
import { startService } from './support/service.mjs';

const modules = process.env.PLAIT_NODE_MODULES;
const missing = (name) => !(modules && fs.existsSync(path.join(modules, name))) && `the ${name} package is not installed (PLAIT_NODE_MODULES)`;
const everything = '@modelcontextprotocol/server-everything';
const sdk = '@modelcontextprotocol/server';

const port = () =>
    new Promise((resolve) => {
        const probe = net.createServer();
        probe.listen(0, '127.0.0.1', () => {
            const found = probe.address().port;
            probe.close(() => resolve(found));
        });
    });

// The package's own program; it takes any address of the machine, so its port is found by asking.
async function startEverything(t) {
    for (let tries = 0; ; tries++) {
        const free = await port();
        const server = start(t, process.execPath, [path.join(modules, everything, 'dist/index.js'), 'streamableHttp'], { env: environment({ PORT: free }) });
        const up = await until(() => /listening on port/.test(server.err() + server.out()) || server.ended, 'server-everything to listen');
        if (up && !server.ended) return { server, port: free, url: `http://127.0.0.1:${free}/mcp` };
        assert.ok(tries < 5, `server-everything does not start: ${server.err()}`);
    }
}

// A server that knows nothing but the newest revision.
async function startNewest(t) {
    const require = createRequire(path.join(modules, 'x.js'));
    const { McpServer, createMcpHandler } = require(sdk);
    const { toNodeHandler } = require('@modelcontextprotocol/node');
    const { z } = require('zod');
    const seen = [];
    const handler = createMcpHandler(
        () => {
            const server = new McpServer({ name: 'weather', version: '1.0.0' });
            server.registerTool('weather.now', { description: 'the weather', inputSchema: z.object({ city: z.string() }) }, async ({ city }) => ({
                content: [{ type: 'text', text: `sunny in ${city}` }],
            }));
            server.registerTool('breaks', { inputSchema: z.object({}) }, async () => {
                throw new Error('the sensor is gone');
            });
            return server;
        },
        { legacy: 'reject' },
    );
    const answer = toNodeHandler(handler);
    const server = http.createServer((request, response) => {
        seen.push(request.headers);
        return answer(request, response);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => (server.closeAllConnections(), server.close()));
    return { seen, port: server.address().port, url: `http://127.0.0.1:${server.address().port}/mcp` };
}

// Runs an agent with a model's tool, a computed one and those of the server; the model gives these answers.
async function prepare(t, server, answers) {
    const model = await startModel(t);
    const config = path.join(folder(t), 'config.json');
    fs.writeFileSync(config, JSON.stringify({ network: { allow_private: [`127.0.0.1:${server.port}`] } }));
    const service = await startService(t, { model, args: ['--config', config] });
    const agent = {
        model: 'openai/m',
        prompt: `find out ${JSON.stringify({ fake: { answers } })}`,
        tools: { clock: { description: 'the time', do: { reduce: 'noon' } }, ask: { do: { llm: { model: 'openai/m', prompt: `{"fake": {"text": "forty-two"}}` } } } },
        mcp: [{ url: server.url }],
    };
    return { service, workflow: { steps: { helper: { agent, retry: { attempts: 1 } } } } };
}

async function talk(t, server, answers) {
    const { service, workflow } = await prepare(t, server, answers);
    const got = await service.run({ workflow });
    const steps = await service.steps(got.id);
    return { run: got, told: String(got.output).split(' | '), step: Object.fromEntries(steps.map((step) => [step.path, step])) };
}

const call = (name, args = {}) => ({ name, arguments: args });

test('an agent with three tools, one of them of server-everything, finishes its task', { ...limit, skip: missing(everything) }, async (t) => {
    const server = await startEverything(t);
    const calls = [call('clock'), call('ask'), call('get-sum', { a: 20, b: 22 }), call('get-sum', { a: 'x' }), call('nothing'), call('echo', { message: 'hi' })];
    const { run, told, step } = await talk(t, server, [{ tool_calls: calls }, '$tools']);
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    assert.equal(told[0], 'noon');
    assert.equal(told[1], 'forty-two');
    assert.match(told[2], /42/);
    assert.match(told[3], /do not fit.*\/a/);
    assert.match(told[4], /no such tool: nothing/);
    assert.match(told[5], /hi/);
    assert.equal(step['helper.0.get-sum'].status, 'succeeded');
    assert.equal(step['helper.mcp.0'].kind, 'mcp');
    assert.ok(step['helper.mcp.0'].output.length > 5);
    await until(() => /session termination request/.test(server.server.err() + server.server.out()), 'the end of the session');
});

test('pictures and resources of server-everything are described to the model', { ...limit, skip: missing(everything) }, async (t) => {
    const server = await startEverything(t);
    const { run, told, step } = await talk(t, server, [{ tool_calls: [call('get-tiny-image'), call('get-structured-content', { location: 'Chicago' })] }, '$tools']);
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    assert.match(told.join(' '), /\[image image\/png\]/);
    assert.ok(step['helper.0.get-tiny-image'].output.content.some((part) => part.type === 'image' && part.data.length > 100));
    assert.ok(step['helper.0.get-structured-content'].output.structuredContent);
});

test('server-everything dies while the agent works: the model is told', { ...limit, skip: missing(everything) }, async (t) => {
    const server = await startEverything(t);
    const slow = call('trigger-long-running-operation', { duration: 60, steps: 60 });
    const talking = talk(t, server, [{ tool_calls: [slow] }, { tool_calls: [call('echo', { message: 'still there?' }), call('clock')] }, '$tools']);
    // three requests of the handshake and the refused one before it, the listing, the call
    await until(() => (server.server.out() + server.server.err()).match(/MCP POST request/g)?.length >= 5, 'the call');
    server.server.kill();
    const { run, told, step } = await talking;
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    assert.match(told[0], /the tool failed/);
    assert.match(told[1], /the tool failed/);
    assert.equal(told[2], 'noon');
    assert.equal(step['helper.1.echo'].error.code, 'unreachable');
});

for (const sessions of [false, true])
    test(`a cancelled run stops the call of ${sessions ? 'a server of sessions' : 'a server of the newest revision'}, which hears of it`, limit, async (t) => {
        let open = 0;
        let closed = 0;
        const server = await startMcp(t, {
            sessions,
            tools: { slow: () => text('late') },
            answer: (message, response) => {
                if (message.method !== 'tools/call') return false;
                open++;
                response.on('close', () => closed++);
                return true;
            },
        });
        const { service, workflow } = await prepare(t, { port: server.port, url: `${server.url}/mcp` }, [{ tool_calls: [call('slow')] }, '$tools']);
        const id = await service.background({ workflow });
        await until(() => open === 1, 'the call');
        assert.equal((await service.post(`/v1/runs/${id}/cancel`, {})).status, 200);
        assert.equal((await service.over(id)).status, 'cancelled');
        await until(() => closed === 1, 'the connection to be closed');
        if (sessions) await until(() => server.of('notifications/cancelled').length === 1 && server.of('DELETE').length === 1, 'the words about it');
        assert.equal(server.of('tools/call').length, 1);
    });

test('a server of the newest revision alone is understood', { ...limit, skip: missing(sdk) }, async (t) => {
    const server = await startNewest(t);
    const calls = [call('weather_now', { city: 'Pörtschach' }), call('breaks'), call('weather_now', { town: 'Graz' })];
    const { run, told } = await talk(t, server, [{ tool_calls: calls }, '$tools']);
    assert.equal(run.status, 'succeeded', JSON.stringify(run.error));
    assert.equal(told[0], 'sunny in Pörtschach');
    assert.equal(told[1], '{"error":"the sensor is gone"}');
    assert.match(told[2], /'city' is required/);
    assert.equal(server.seen.length, 3);
    assert.ok(server.seen.every((headers) => headers['mcp-protocol-version'] === '2026-07-28' && !headers['mcp-session-id']));
});
