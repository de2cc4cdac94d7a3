// stream_calls.mjs - PLAIT=... node tests/bench/stream_calls.mjs [CALLS [SECONDS [tls]]] - so many streaming calls at once over a slow
// model server (a word a second each): resident memory a call over idle, CPU time a piece of text, whether every call was whole. With
// `tls` the calls go through nginx (NGINX names it, or it is in the path), which speaks TLS in front of the stand-in. Prints one JSON line, judges
// only the result. Not part of the suite.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { startModel } from '../cli/support/model.mjs';
import { folder, sleep, until } from '../cli/support/plait.mjs';
import { startService } from '../http/support/service.mjs';

const [calls, seconds] = [Number(process.argv[2] || 9000), Number(process.argv[3] || 30)];
const withTls = process.argv[4] === 'tls';
const cleanups = [];
const t = { after: (cleanup) => cleanups.unshift(cleanup) };

// nginx with a certificate of its own in front of `port`; gives what the configuration of a provider needs.
async function tlsInFront(port) {
    const dir = folder(t);
    const [key, cert] = [path.join(dir, 'key.pem'), path.join(dir, 'cert.pem')];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=bench', '-addext',
        'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
    const listen = 18_443;
    fs.writeFileSync(path.join(dir, 'nginx.conf'), `daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid ${dir}/pid; error_log ${dir}/log;
        events { worker_connections 30000; }
        http { access_log off; client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
            server { listen 127.0.0.1:${listen} ssl backlog=65535; ssl_certificate ${cert}; ssl_certificate_key ${key};
                location / { proxy_pass http://127.0.0.1:${port}; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 300s; } } }`);
    const nginx = spawn(process.env.NGINX || 'nginx', ['-p', dir, '-c', path.join(dir, 'nginx.conf')], { stdio: 'ignore' });
    t.after(() => nginx.kill());
    await until(() => fs.existsSync(path.join(dir, 'pid')), 'nginx');
    return { kind: 'openai', base_url: `https://127.0.0.1:${listen}/v1`, api_key: 'x', ca_file: cert };
}

const status = (pid, field) => Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${field}:\\s+(\\d+)`, 'm'))[1]) * 1024;
const cpuMs = (pid) => {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
};

// Counts the deltas of a run's stream and gives its last event.
function follow(port, json) {
    const body = JSON.stringify({ ...json, stream: true });
    return new Promise((resolve, reject) => {
        const request = http.request({ host: '127.0.0.1', port, method: 'POST', path: '/v1/runs', headers: { 'content-type': 'application/json', accept: 'application/x-ndjson', 'content-length': Buffer.byteLength(body) } }, (answer) => {
            let deltas = 0, rest = '', last;
            answer.setEncoding('utf8').on('data', (piece) => {
                const lines = (rest + piece).split('\n');
                rest = lines.pop();
                for (const line of lines)
                    if (line.includes('"step.delta"')) deltas++;
                    else if (line.includes('"run.succeeded"') || line.includes('"run.failed"')) last = JSON.parse(line);
            });
            answer.on('end', () => resolve({ deltas, last }));
            answer.on('error', reject);
        });
        request.on('error', reject);
        request.end(body);
    });
}

try {
    const model = await startModel(t);
    const provider = withTls ? await tlsInFront(model.port) : { kind: 'openai', base_url: `http://127.0.0.1:${model.port}/v1`, api_key: 'x' };
    const config = path.join(folder(t), 'plait.json');
    fs.writeFileSync(config, JSON.stringify({ providers: { slow: provider } }));
    const service = await startService(t, { args: ['--config', config] });
    await service.run({ workflow: { steps: { a: { llm: { model: 'slow/mock-0ms', prompt: 'x' } } } } });
    const pid = service.process.pid;
    const idle = status(pid, 'VmRSS');
    const llm = { model: `slow/mock-${seconds * 1000}ms-w${seconds}`, prompt: 'item ${ .item }' };
    const workflow = { steps: { m: { map: { over: `\${ [range(${calls})] }`, concurrency: calls, do: { llm, timeout: '10m' } } } }, output: '${ .steps.m.output | length }' };
    const run = follow(service.port, { workflow });
    await until(async () => (await model.stats()).inflight >= calls * 0.999, 'all calls to be under way', 120_000);
    const [cpu, began] = [cpuMs(pid), performance.now()];
    await sleep(Math.min(10, seconds / 3) * 1000);
    const [used, took] = [cpuMs(pid) - cpu, performance.now() - began];
    const resident = status(pid, 'VmRSS');
    const { deltas, last } = await run;
    const pieces = (took / 1000) * calls; // a word a second each
    console.log(JSON.stringify({
        calls, tls: withTls, whole: last?.type === 'run.succeeded' && last.run.output === calls, deltas_read: deltas,
        idle_mib: Number((idle / 1048576).toFixed(1)), resident_mib: Number((resident / 1048576).toFixed(1)),
        kib_a_call: Number(((resident - idle) / 1024 / calls).toFixed(1)),
        pieces_per_s: Math.round(pieces / (took / 1000)), cpu_share: Number((used / took).toFixed(3)), cpu_us_a_piece: Number(((used * 1000) / pieces).toFixed(1)),
    }));
} finally {
    for (const cleanup of cleanups) await cleanup();
}
