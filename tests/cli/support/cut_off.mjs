// cut_off.mjs - a network of its own in which every private address leads to one canary: run inside new user, network and
// mount namespaces (network.test.mjs does that), it starts the canary, a name server and a model on loopback, runs plait
// against them and prints what happened as one JSON line. Usage: cut_off.mjs PLAIT FOLDER; FOLDER/plan.json says what to do.
import { spawn, spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';

const [, , plait, folder] = process.argv;
const plan = JSON.parse(fs.readFileSync(path.join(folder, 'plan.json'), 'utf8'));

function command(program, ...args) {
    const result = spawnSync(program, args, { encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr || result.error}`);
}

function setUp() {
    command('ip', 'link', 'set', 'lo', 'up');
    for (const range of plan.ranges) {
        const result = spawnSync('ip', [range.includes(':') ? '-6' : '-4', 'route', 'add', 'local', range, 'dev', 'lo'], { encoding: 'utf8' });
        if (result.status !== 0 && !/File exists/.test(result.stderr)) throw new Error(`${range}: ${result.stderr}`);
    }
    const resolver = path.join(folder, 'resolv.conf');
    fs.writeFileSync(resolver, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n');
    command('mount', '--bind', resolver, '/etc/resolv.conf');
}

// ---- names ----

function addressBytes(text) {
    if (!text.includes(':')) return Buffer.from(text.split('.').map(Number));
    const [head, tail] = text.split('::');
    const groups = (part) => (part ? part.split(':') : []);
    const a = groups(head);
    const b = groups(tail);
    const all = tail === undefined ? a : [...a, ...Array(8 - a.length - b.length).fill('0'), ...b];
    return Buffer.from(all.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]));
}

// plan.names: name -> list of answers, each a list of addresses; the next one at every question for an address of IPv4, and
// the last one stays. Nothing may be kept: the time to live is 0.
function answerName(query, asked) {
    let at = 12;
    const labels = [];
    while (query[at]) {
        labels.push(query.subarray(at + 1, at + 1 + query[at]).toString());
        at += query[at] + 1;
    }
    const name = labels.join('.').toLowerCase();
    const type = query.readUInt16BE(at + 1);
    const answers = plan.names[name];
    const turn = asked[name] ?? 0;
    if (answers && type === 1) asked[name] = turn + 1;
    const addresses = (answers?.[Math.min(turn, answers.length - 1)] ?? []).filter((address) => address.includes(':') === (type === 28));
    const records = addresses.map((address) => {
        const bytes = addressBytes(address);
        return Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length]), bytes]);
    });
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180 | (answers ? 0 : 3), 2);
    head.writeUInt16BE(records.length, 6);
    head.writeUInt16BE(0, 8);
    head.writeUInt16BE(0, 10);
    return Buffer.concat([head, query.subarray(12, at + 5), ...records]);
}

function startNames() {
    const asked = {};
    const socket = dgram.createSocket('udp4');
    socket.on('message', (query, from) => socket.send(answerName(query, asked), from.port, from.address));
    return new Promise((resolve) => socket.bind(53, '127.0.0.1', resolve));
}

// ---- servers ----

const isPublic = (address) => plan.public.some((start) => address.replace(/^::ffff:(?=\d+\.)/, '').startsWith(start));

// On every address of the machine. What comes to a public one is answered, /to/URL with a redirect.
async function startCanary() {
    const found = { private: [], public: 0 };
    const server = http.createServer((request, response) => {
        const target = request.url.startsWith('/to/') && decodeURIComponent(request.url.slice(4));
        response.writeHead(target ? 302 : 200, { connection: 'close', ...(target ? { location: target } : {}) });
        response.end('from outside');
    });
    server.on('connection', (socket) => {
        if (isPublic(socket.localAddress ?? '')) found.public++;
        else found.private.push(socket.localAddress);
    });
    await new Promise((resolve) => server.listen(plan.port, '::', resolve));
    return found;
}

async function startModel() {
    const found = { calls: 0 };
    const server = http.createServer((request, response) => {
        found.calls++;
        request.resume();
        request.on('end', () => {
            response.writeHead(200, { 'content-type': 'application/json' });
            response.end(JSON.stringify({ id: 'x', choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'from loopback' } }], usage: { prompt_tokens: 1, completion_tokens: 1 } }));
        });
    });
    await new Promise((resolve) => server.listen(plan.modelPort, '127.0.0.1', resolve));
    return found;
}

// ---- the two halves ----

// That the test can fail: without plait in between, each address does lead to the canary.
function connects(host) {
    return new Promise((resolve) => {
        const socket = net.connect({ host, port: plan.port });
        socket.setTimeout(5000, () => socket.destroy());
        socket.on('connect', () => socket.end());
        socket.on('error', () => {});
        socket.on('close', (failed) => resolve(!failed));
    });
}

function run(args) {
    return new Promise((resolve) => {
        const child = spawn(plait, args, { cwd: folder, env: { ...process.env, HOME: folder, XDG_STATE_HOME: folder }, stdio: ['ignore', 'pipe', 'pipe'] });
        const out = [];
        const err = [];
        child.stdout.on('data', (piece) => out.push(piece));
        child.stderr.on('data', (piece) => err.push(piece));
        child.on('close', (code) => resolve({ code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() }));
    });
}

setUp();
await startNames();
const canary = await startCanary();
const model = await startModel();
const control = [];
for (const host of plan.control) control.push([host, await connects(host)]);
await new Promise((resolve) => setTimeout(resolve, 50));
const reached = canary.private.length;
canary.private.length = 0;
canary.public = 0;
const runs = [];
for (const args of plan.runs) runs.push(await run(args));
process.stdout.write(`${JSON.stringify({ control, reached, runs, canary, model })}\n`);
process.exit(0);
