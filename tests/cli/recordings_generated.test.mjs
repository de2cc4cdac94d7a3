// recordings_generated.test.mjs - whatever a workflow does while it is recorded, `plait test` finds the same a moment later:
// workflows at random (support/generate.mjs), where milliseconds decide what ends first. Written cases are in recordings.test.mjs.
//
// RECORDINGS_SEED=N tries that one alone and says what it is; RECORDINGS_COUNT=N more of them than usual.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { generate } from './support/generate.mjs';
import { limit, place, run } from './support/plait.mjs';
import { startServer } from './support/server.mjs';

const ENOUGH_MS = 12_000; // then no more are begun
const one = process.env.RECORDINGS_SEED;
const first = Number(one ?? 1);
const count = one ? 1 : Number(process.env.RECORDINGS_COUNT ?? 60);

test('a recording made a moment ago plays back, whatever was first', limit, async (t) => {
    const server = await startServer(t, (request, response) => {
        const query = new URL(request.url, 'http://x').searchParams;
        setTimeout(() => {
            response.writeHead(Number(query.get('status')), { 'content-type': 'application/json' });
            response.end('{"n": 1}');
        }, Number(query.get('ms')));
    });
    const home = place(t);
    const config = home.file('c.json', {
        providers: { slow: { kind: 'sim', limits: { concurrency: 2 } } },
        network: { allow_private: [`127.0.0.1:${server.port}`] },
    });
    const end = process.env.RECORDINGS_COUNT ? Infinity : performance.now() + ENOUGH_MS;
    let played = 0;
    let failed = 0;
    for (let seed = first; seed < first + count && performance.now() < end; seed++) {
        const { workflow, answers } = generate(seed, server.url);
        const file = home.file('w.json', workflow);
        const given = answers.flatMap((answer) => ['--answer', answer]);
        fs.rmSync(home.path('w.recording.json'), { force: true });
        const recorded = await run(t, home, ['test', file, '--record', '--config', config, ...given]);
        const about = () => `seed ${seed}: ${JSON.stringify(workflow)}\nrecorded: ${recorded.err}${recorded.out}`;
        assert.ok(fs.existsSync(home.path('w.recording.json')), about());
        const replayed = await run(t, home, ['test', file]);
        assert.equal(replayed.code, 0, `${about()}\nplayed back: ${replayed.out}${replayed.err}`);
        played++;
        failed += recorded.code !== 0;
    }
    assert.ok(played > 0, 'none was tried');
    t.diagnostic(`${played} workflows, ${failed} of which fail`);
});
