// network.test.mjs - the address table: in a network of its own every private address really leads to a canary, and http
// steps reach none of them, however the address is written, resolved, redirected to or changed between two look-ups; the
// operator's own provider on loopback works. Needs Linux namespaces; without them it is skipped and http.test.mjs and
// redirects.test.mjs show what they can.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PLAIT, environment, limit, place, start } from './support/plait.mjs';
import { once, parseRun } from './support/run.mjs';

const inside = path.join(path.dirname(fileURLToPath(import.meta.url)), 'support/cut_off.mjs');
const unshare = ['--user', '--map-root-user', '--net', '--mount'];
const able = spawnSync('unshare', [...unshare, 'sh', '-c', 'ip link set lo up && ip route add local 10.0.0.0/8 dev lo && mount --bind /etc/hosts /etc/hosts']).status === 0;

const PORT = 18480;
const ranges = ['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16',
    '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '240.0.0.0/5', '93.184.216.0/24', '168.63.129.0/24',
    'fc00::/7', 'fec0::/10', '64:ff9b::/96', '64:ff9b:1::/48', '2002::/16', '2001::/32', '2001:db8::/32', '100::/64', '2606:2800:220::/48'];

// Each is what stands in a URL; those that are plain addresses are first shown to lead to the canary.
const hosts = ['127.0.0.1', '127.255.255.254', '0.0.0.0', '10.0.0.1', '10.255.255.255', '100.64.0.1', '100.100.100.200', '169.254.1.1', '169.254.169.254', '169.254.170.2',
    '172.16.0.1', '172.31.255.255', '192.0.0.192', '192.0.2.1', '192.88.99.1', '192.168.0.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '240.0.0.1', '168.63.129.16',
    '[::1]', '[::ffff:127.0.0.1]', '[::ffff:10.0.0.1]', '[fc00::1]', '[fd00:ec2::254]', '[fec0::1]', '[64:ff9b::7f00:1]', '[64:ff9b::a9fe:a9fe]', '[64:ff9b:1::7f00:1]',
    '[2002:7f00:1::1]', '[2002:a9fe:a9fe::]', '[2001:0:7f00:1::]', '[2001:db8::1]', '[100::1]'];
const spellings = ['localhost', 'LOCALHOST', '2130706433', '0x7f000001', '0x7F.0.0.1', '0177.0.0.1', '017700000001', '127.1', '127.0.1', '0', '0x0', '[::]', '[::127.0.0.1]',
    '[0:0:0:0:0:ffff:7f00:1]', '[::ffff:7f00:1]', '[::FFFF:A9FE:A9FE]', '2852039166', '0xa9fea9fe', '0251.0376.0251.0376', '169.254.43518', '10.1', '0xa.1', '%31%32%37.0.0.1'];
const names = {
    'loop.example': [['127.0.0.1']], 'private.example': [['10.1.2.3']], 'metadata.example': [['169.254.169.254']], 'six.example': [['::1']],
    'mapped.example': [['::ffff:7f00:1']], 'nat.example': [['64:ff9b::a9fe:a9fe']], 'sixtofour.example': [['2002:7f00:1::']],
    'public.example': [['93.184.216.34']], 'public6.example': [['2606:2800:220::1']],
    'mixed.example': [['127.0.0.1', '10.0.0.1', '93.184.216.34', '::1']],
    'rebound.example': [['93.184.216.34'], ['127.0.0.1']], 'alternate.example': [['93.184.216.34'], ['169.254.169.254'], ['93.184.216.34'], ['10.0.0.1']],
};
const publicHost = `http://public.example:${PORT}`;

function fan(urls) {
    return once({ fan: { join: 'settled', parallel: { branches: Object.fromEntries(urls.map((url, i) => [`u${i}`, { http: { url }, timeout: '20s' }])) } } });
}

async function inNetwork(t, runs) {
    const home = place(t);
    const files = runs.map(([name, workflow]) => [...(name === 'plain' ? [] : ['--config', name]), home.file(`w${Math.random().toString(36).slice(2)}.json`, workflow)]);
    home.file('model.yaml', `providers: {local: {kind: openai, base_url: "http://127.0.0.1:${PORT + 1}/v1", api_key: x}}\n`);
    const plan = {
        port: PORT, modelPort: PORT + 1, ranges, names, public: ['93.184.216.', '2606:2800:220'],
        control: hosts.map((host) => host.replace(/[[\]]/g, '')).concat('93.184.216.34'),
        runs: files.map((args) => ['run', '--json', ...args]),
    };
    home.file('plan.json', plan);
    const result = await start(t, 'unshare', [...unshare, process.execPath, inside, PLAIT, home.dir], { env: environment() }).done;
    assert.equal(result.code, 0, result.err);
    assert.ok(fs.existsSync(home.path('resolv.conf')));
    const got = JSON.parse(result.out);
    for (const [host, connected] of got.control) assert.ok(connected, `${host} does not lead to the canary: the test would show nothing`);
    assert.ok(got.reached >= hosts.length);
    return got;
}

const skip = able ? false : 'no namespaces here';

test('the canary receives nothing, however it is written, named or redirected to', { ...limit, skip }, async (t) => {
    const direct = [...hosts, ...spellings].map((host) => `http://${host}:${PORT}/`);
    const named = Object.keys(names).filter((name) => !/public|mixed|rebound|alternate/.test(name)).map((name) => `http://${name}:${PORT}/`);
    const redirected = [...direct, ...named].map((url) => `${publicHost}/to/${encodeURIComponent(url)}`);
    const got = await inNetwork(t, [['plain', fan([...direct, ...named])], ['plain', fan(redirected)]]);
    got.runs.forEach((result, r) => {
        assert.equal(result.code, 0, result.err);
        const steps = parseRun(result).step;
        [[...direct, ...named], redirected][r].forEach((url, i) => {
            const step = steps[`fan.u${i}`];
            assert.equal(step.status, 'failed', url);
            assert.ok(['address_denied', 'unreachable', 'invalid_argument', 'unexpected_status'].includes(step.error.code), `${url}: ${step.error.code}: ${step.error.detail}`);
            assert.ok(step.error.code === 'address_denied' || !hosts.some((host) => url.includes(`//${host}:`)), `${url}: ${step.error.code}`);
        });
    });
    assert.deepEqual(got.canary.private, []);
    assert.equal(got.canary.public, redirected.length);
});

test('public addresses are reached, names with both kinds of address at the public one', { ...limit, skip }, async (t) => {
    const urls = [publicHost, `http://93.184.216.34:${PORT}`, `http://public6.example:${PORT}`, `http://mixed.example:${PORT}`, `${publicHost}/to/${encodeURIComponent(`http://public6.example:${PORT}/`)}`];
    const got = await inNetwork(t, [['plain', fan(urls)]]);
    const run = parseRun(got.runs[0]);
    urls.forEach((url, i) => assert.equal(run.step[`fan.u${i}`].output?.body, 'from outside', `${url}: ${JSON.stringify(run.step[`fan.u${i}`].error)}`));
    assert.deepEqual(got.canary.private, []);
});

test('a name whose address changes between two look-ups does not lead inside', { ...limit, skip }, async (t) => {
    const twice = once({ a: { http: { url: `http://rebound.example:${PORT}/` } }, b: { needs: ['a'], http: { url: `http://rebound.example:${PORT}/` }, on_error: 'continue' } });
    const redirect = once({ a: { http: { url: `${publicHost}/to/${encodeURIComponent(`http://rebound.example:${PORT}/`)}` }, on_error: 'continue' } });
    const alternate = once({ a: { http: { url: `http://alternate.example:${PORT}/` }, on_error: 'continue' } });
    const got = await inNetwork(t, [['plain', twice], ['plain', twice], ['plain', redirect], ['plain', alternate], ['plain', alternate], ['plain', alternate], ['plain', alternate]]);
    const runs = got.runs.map((result) => (result.out ? JSON.parse(result.out) : assert.fail(result.err)));
    const first = (run, path = 'a') => run.steps.find((step) => step.path === path);
    assert.equal(first(runs[0]).output.body, 'from outside');
    // within the first process the name may still stand for the public address; in no case for the other
    assert.ok(first(runs[0], 'b').status === 'succeeded' || first(runs[0], 'b').error.code === 'address_denied');
    assert.equal(first(runs[1]).error.code, 'address_denied');
    assert.equal(first(runs[2]).error.code, 'address_denied');
    assert.deepEqual(runs.slice(3).map((run) => first(run).output?.body ?? first(run).error.code), ['from outside', 'address_denied', 'from outside', 'address_denied']);
    assert.deepEqual(got.canary.private, []);
});

test('the provider that the operator put on loopback works, the same address in an http step does not', { ...limit, skip }, async (t) => {
    const workflow = once({
        model: { llm: { model: 'local/x', prompt: 'hello' } },
        tool: { http: { url: `http://127.0.0.1:${PORT + 1}/v1/chat/completions`, method: 'POST', json: {} }, on_error: 'continue' },
    });
    const got = await inNetwork(t, [['model.yaml', workflow]]);
    const run = parseRun(got.runs[0]);
    assert.equal(run.step.model.output, 'from loopback');
    assert.equal(run.step.tool.error.code, 'address_denied');
    assert.equal(got.model.calls, 1);
});
