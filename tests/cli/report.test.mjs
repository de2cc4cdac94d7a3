// report.test.mjs - what `plait run` says when a run is over: every failed step, an output that could not be written, a run
// of which nothing was recorded. Not the ordinary ends (run.test.mjs).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { test } from 'node:test';
import { PLAIT, SLOW, environment, limit, place, run } from './support/plait.mjs';

const sim = (options) => ({ llm: { model: `sim/echo?${options}`, prompt: 'x' } });

test('each step that failed has its line, but for those that were handled', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', {
        join: 'settled',
        steps: {
            a: sim('fail=auth_failed'),
            b: sim('fail=bad_request'),
            c: { ...sim('fail=bad_request'), on_error: 'continue' },
            d: sim('text=fine'),
        },
    });
    const result = await run(t, home, ['run', '-q', file]);
    assert.equal(result.code, 1);
    assert.match(result.err, /^plait: the run failed at step a: auth_failed: .+\nplait: step b failed too: bad_request: .+\n$/);
});

test('the error of a handler whose handler failed too holds each one once', limit, async (t) => {
    const home = place(t);
    const inner = { ...sim('fail=bad_request'), on_error: { step: sim('fail=content_filtered') } };
    const file = home.file('w.json', { defaults: { retry: { attempts: 1 } }, join: 'settled', steps: { a: { ...sim('fail=auth_failed'), on_error: { step: inner } } } });
    const result = await run(t, home, ['run', '-q', '--json', file]);
    const { error } = JSON.parse(result.out).steps.find(({ path }) => path === 'a');
    assert.deepEqual([error.code, error.after.code, error.after.after.code], ['content_filtered', 'bad_request', 'auth_failed']);
    assert.equal(result.out.match(/"after":/g).length, 2 + 2 + 1, 'of the run, of the step, of its handler');
});

test('of many failed branches a few are told, and how many more there are', limit, async (t) => {
    const home = place(t);
    const branches = {};
    for (let i = 0; i < 20; i++) branches[`b${i}`] = sim('fail=bad_request');
    const file = home.file('w.json', { steps: { w: { join: { policy: 'settled', min: 1 }, parallel: { branches } } } });
    const result = await run(t, home, ['run', '-q', file]);
    assert.equal(result.code, 1);
    assert.equal(result.err.match(/failed too/g).length, 5);
    assert.match(result.err, /and 14 more; --json shows every step/);
});

test('an output that cannot be written is an error', { ...limit, skip: !fs.existsSync('/dev/full') }, (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { reduce: 1 } } });
    const full = fs.openSync('/dev/full', 'w');
    for (const options of [[], ['--json']]) {
        const result = spawnSync(PLAIT, ['run', '-q', ...options, file], {
            env: environment(home.env),
            stdio: ['ignore', full, 'pipe'],
            encoding: 'utf8',
        });
        assert.equal(result.status, 1);
        assert.match(result.stderr, /cannot write to standard output: No space left on device/);
    }
    for (const command of [['graph', file], ['version'], ['--help'], ['run', '--help']]) {
        const result = spawnSync(PLAIT, command, { env: environment(home.env), stdio: ['ignore', full, 'pipe'], encoding: 'utf8' });
        assert.equal(result.status, 1, command.join(' '));
        assert.match(result.stderr, /cannot write to standard output: No space left on device/);
    }
    fs.closeSync(full);
});

test('a limit on the size of files is told like a full disk', limit, (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { reduce: 1 } } });
    const result = spawnSync('sh', ['-c', 'ulimit -f 1; "$0" run -q "$1" 2>&1 | cat', PLAIT, file], { env: environment(home.env), encoding: 'utf8' });
    assert.match(result.stdout, /the disk of the database is full/);
});

// A sanitizer needs more address space than any limit of use here.
test('a workflow too large for the memory is told as that', { ...limit, skip: SLOW }, (t) => {
    const home = place(t);
    const steps = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`s${i}`, { reduce: i }]));
    const file = home.file('w.json', { steps });
    const env = environment(home.env);
    for (const command of ['check', 'graph', 'run -q']) {
        const result = spawnSync('sh', ['-c', `ulimit -v 60000; exec "$0" ${command} "$1"`, PLAIT, file], { env, encoding: 'utf8' });
        assert.equal(result.status, 2, command);
        assert.match(result.stdout + result.stderr, /w\.json: out of memory\n$/);
    }
});
