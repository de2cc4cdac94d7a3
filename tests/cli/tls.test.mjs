// tls.test.mjs - a model server behind TLS: the certificates that are trusted, and what is said when one is not. Not what the
// server answers (faults.test.mjs).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { before, test } from 'node:test';
import { folder, limit, place, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

let tls; // {key, cert, file}: of 127.0.0.1, signed by itself

before(() => {
    const dir = fs.mkdtempSync(path.join(process.env.TMPDIR || '/tmp', 'plait-tls-'));
    const [key, cert] = [path.join(dir, 'key.pem'), path.join(dir, 'cert.pem')];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=test', '-addext',
        'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
    tls = { key: fs.readFileSync(key), cert: fs.readFileSync(cert), file: cert, dir };
    process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }));
});

async function server(t) {
    let calls = 0;
    const answer = { choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'over TLS' } }] };
    const listening = https.createServer(tls, (request, reply) => {
        calls++;
        request.resume().on('end', () => reply.setHeader('content-type', 'application/json').end(JSON.stringify(answer)));
    });
    await new Promise((resolve) => listening.listen(0, '127.0.0.1', resolve));
    t.after(() => listening.close());
    return { port: listening.address().port, calls: () => calls };
}

const workflow = { steps: { a: { llm: { model: 'own/m', prompt: 'x' } } } };

function asks(t, home, host, port, more) {
    const provider = { kind: 'openai', base_url: `https://${host}:${port}/v1`, ...more };
    const config = home.file('plait.json', { providers: { own: provider } });
    return run(t, home, ['run', '-q', '--json', '--config', config, home.file('w.json', workflow)]);
}

test('a server of its own is trusted by its certificate', limit, async (t) => {
    const { port } = await server(t);
    const result = await asks(t, place(t), '127.0.0.1', port, { ca_file: tls.file });
    assert.equal(parseRun(result).output, 'over TLS', result.err);
});

test('a certificate nobody vouches for, or of another host, is a tls_error and not tried again', limit, async (t) => {
    const { port, calls } = await server(t);
    for (const [host, more] of [['127.0.0.1', {}], ['localhost', { ca_file: tls.file }]]) {
        const got = parseRun(await asks(t, place(t), host, port, more));
        assert.equal(got.error.code, 'tls_error', JSON.stringify(got.error));
        assert.equal(got.step.a.attempts, 1);
    }
    assert.equal(calls(), 0);
});

test('a file of certificates that is not there is told before anything runs', limit, async (t) => {
    const result = await asks(t, place(t), '127.0.0.1', 1, { ca_file: path.join(folder(t), 'none.pem') });
    assert.equal(result.code, 2);
    assert.match(result.err, /ca_file: cannot open .*none\.pem/);
});
