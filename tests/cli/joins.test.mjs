// joins.test.mjs - one branch fails, wins or is late: what happens to the others, as their server sees it and as the run
// tells it. Not faults of servers by kind (faults.test.mjs).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callsOf, startModel } from './support/model.mjs';
import { SLOW, limit, place, run } from './support/plait.mjs';
import { ask, once, parseRun } from './support/run.mjs';

const CLOSE_MS = 100; // what a loser's connection may stay open after the outcome is known

// One `parallel` called fan, its join, and whatever else; returns the run and the calls its server saw.
async function fan(t, branches, join, { more = {}, code = 0, step = {} } = {}) {
    const home = place(t);
    const model = await startModel(t);
    const steps = { fan: { ...(join && { join }), parallel: { branches }, ...step }, ...more.steps };
    const file = home.file('w.json', { ...once(steps), ...more, steps });
    const result = await run(t, home, ['run', file, '--json'], { env: model.env });
    assert.equal(result.code, code, result.err);
    return { got: parseRun(result), calls: await model.allCalls(), result };
}

// The losers' connections were closed by plait, soon after `since` (milliseconds of the server's clock).
function assertClosed(t, calls, prompts, since) {
    for (const prompt of prompts) {
        const [call] = callsOf(calls, prompt);
        assert.ok(call, `${prompt} was called`);
        assert.equal(call.outcome, 'aborted', `${prompt}: ${call.outcome}`);
        const late = call.closed_ms - since;
        t.diagnostic(`${prompt}: closed ${late.toFixed(1)} ms after the outcome`);
        if (!SLOW) assert.ok(late <= CLOSE_MS, `${prompt} was closed ${late} ms after`);
    }
}

function assertJoin(join, expected) {
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(join[key], value, `join.${key} of ${JSON.stringify(join)}`);
}

const reasons = (got, ...paths) => paths.map((path) => [got.step[path].status, got.step[path].reason]);

test('settled: one branch failing leaves the others intact and is reported', limit, async (t) => {
    const { got, calls } = await fan(t, { a: ask('mock-300ms', 'a'), b: ask('mock-s500', 'b'), c: ask('mock-200ms', 'c') }, 'settled');
    assert.equal(got.status, 'succeeded');
    assert.match(got.output.a, /\[[0-9a-f]{8}\] a$/);
    assert.match(got.output.c, / c$/);
    assert.equal(got.output.b.error.code, 'provider_error');
    assert.equal(got.step['fan.b'].error.status, 500);
    assertJoin(got.step.fan.join, { policy: 'settled', satisfied_by: 'settled', counted: 2, failed: 1, cancelled: 0, missing: 0 });
    assert.deepEqual(calls.map((call) => call.outcome), ['answered', 'answered', 'answered']);
});

test('settled succeeds even when every branch failed', limit, async (t) => {
    const { got } = await fan(t, { a: ask('mock-s500', 'a'), b: ask('mock-s400', 'b') }, 'settled');
    assert.equal(got.status, 'succeeded');
    assert.deepEqual(Object.values(got.output).map((value) => value.error.code), ['provider_error', 'bad_request']);
});

test('settled with min fails as soon as min can no longer be met', limit, async (t) => {
    const join = { policy: 'settled', deadline: '60s', min: 2 };
    const { got, calls } = await fan(t, { a: ask('mock-s500-100ms', 'a'), b: ask('mock-s500-100ms', 'b'), c: ask('mock-hang', 'c') }, join, { code: 1 });
    assert.equal(got.error.code, 'quorum_unreachable');
    assert.deepEqual(reasons(got, 'fan.c'), [['cancelled', 'sibling_failed']]);
    assertClosed(t, calls, ['c'], Math.max(...calls.slice(0, 2).map((call) => call.end_ms)));
});

test('all: one failure closes the connections of its siblings and fails the step with its code', limit, async (t) => {
    const branches = { good: ask('mock-50ms', 'good'), bad: ask('mock-s500-300ms', 'bad') };
    for (let i = 0; i < 6; i++) branches[`slow${i}`] = ask('mock-hang', `slow${i}`);
    const { got, calls } = await fan(t, branches, undefined, { code: 1 });
    assert.equal(got.status, 'failed');
    assert.equal(got.error.code, 'branch_failed');
    assert.equal(got.step.fan.error.branch, 'fan.bad');
    assert.equal(got.step.fan.error.cause.code, 'provider_error');
    assert.equal(got.step['fan.good'].status, 'succeeded');
    const slow = Object.keys(branches).slice(2);
    assertClosed(t, calls, slow, callsOf(calls, 'bad')[0].end_ms);
    for (const id of slow) assert.deepEqual(reasons(got, `fan.${id}`), [['cancelled', 'sibling_failed']]);
    assertJoin(got.step.fan.join, { policy: 'all', satisfied_by: null, counted: 1, failed: 1, cancelled: 6, missing: 0 });
});

test('all: a hundred siblings are closed as quickly as one', { ...limit, skip: SLOW && 'instrumented' }, async (t) => {
    const branches = { bad: ask('mock-s400-500ms', 'bad') };
    for (let i = 0; i < 300; i++) branches[`s${i}`] = ask('mock-hang', `s${i}`);
    const { calls } = await fan(t, branches, 'all', { code: 1 });
    const since = callsOf(calls, 'bad')[0].end_ms;
    const losers = calls.filter((call) => call.prompt !== 'bad');
    assert.equal(losers.length, 300);
    assert.ok(losers.every((call) => call.outcome === 'aborted'));
    const late = Math.max(...losers.map((call) => call.closed_ms)) - since;
    t.diagnostic(`the last of 300 was closed ${late.toFixed(1)} ms after the failure`);
    assert.ok(late <= CLOSE_MS, `${late} ms`);
});

test('any: the first success is the output and the losers are closed', limit, async (t) => {
    const branches = { slow: ask('mock-hang', 'slow'), quick: ask('mock-200ms', 'quick'), late: ask('mock-5000ms', 'late'), bad: ask('mock-s500', 'bad') };
    const { got, calls } = await fan(t, branches, 'any');
    assert.match(got.output, / quick$/);
    assertClosed(t, calls, ['slow', 'late'], callsOf(calls, 'quick')[0].end_ms);
    assert.deepEqual(reasons(got, 'fan.slow', 'fan.late'), [['cancelled', 'lost_race'], ['cancelled', 'lost_race']]);
    assertJoin(got.step.fan.join, { policy: 'any', satisfied_by: 'any', counted: 1, failed: 1, cancelled: 2, missing: 0 });
    assert.equal(got.step['fan.bad'].status, 'failed');
});

test('any fails once every branch has failed', limit, async (t) => {
    const { got } = await fan(t, { a: ask('mock-s500', 'a'), b: ask('mock-s400', 'b') }, 'any', { code: 1 });
    assert.equal(got.error.code, 'quorum_unreachable');
});

test('quorum: enough successes close the rest with quorum_met', limit, async (t) => {
    const branches = { a: ask('mock-100ms', 'a'), b: ask('mock-hang', 'b'), c: ask('mock-250ms', 'c'), d: ask('mock-hang', 'd'), e: ask('mock-s500', 'e') };
    const { got, calls } = await fan(t, branches, { quorum: 2 });
    assert.deepEqual(Object.keys(got.output), ['a', 'b', 'c', 'd', 'e'], 'in the order written');
    assert.deepEqual([got.output.b, got.output.d, got.output.e], [null, null, null]);
    assertClosed(t, calls, ['b', 'd'], callsOf(calls, 'c')[0].end_ms);
    assert.deepEqual(reasons(got, 'fan.b', 'fan.d'), [['cancelled', 'quorum_met'], ['cancelled', 'quorum_met']]);
    assertJoin(got.step.fan.join, { policy: 'quorum', satisfied_by: 'quorum', counted: 2, failed: 1, cancelled: 2, missing: 0 });
});

test('quorum: what can no longer be met fails at once', limit, async (t) => {
    const branches = { a: ask('mock-s500-200ms', 'a'), b: ask('mock-s500-100ms', 'b'), c: ask('mock-hang', 'c') };
    const { got, calls } = await fan(t, branches, { quorum: 2 }, { code: 1 });
    assert.equal(got.error.code, 'quorum_unreachable');
    assertClosed(t, calls, ['c'], callsOf(calls, 'a')[0].end_ms);
    assert.deepEqual(reasons(got, 'fan.c'), [['cancelled', 'sibling_failed']]);
});

test('fraction: a share is rounded up', limit, async (t) => {
    const branches = { a: ask('mock-50ms', 'a'), b: ask('mock-100ms', 'b'), c: ask('mock-hang', 'c') };
    const { got } = await fan(t, branches, { fraction: 0.5 });
    assertJoin(got.step.fan.join, { policy: 'fraction', satisfied_by: 'fraction', counted: 2, cancelled: 1 });
    const failed = await fan(t, { a: ask('mock-50ms', 'a'), b: ask('mock-s500', 'b'), c: ask('mock-hang', 'c') }, { fraction: 0.9 }, { code: 1 });
    assert.equal(failed.got.error.code, 'quorum_unreachable');
});

test('deadline: settled goes on with what is there and closes the rest', limit, async (t) => {
    const deadline = SLOW ? 4000 : 1000;
    const { got, calls } = await fan(t, { a: ask('mock-50ms', 'a'), b: ask('mock-hang', 'b'), c: ask('mock-hang', 'c') },
        { policy: 'settled', deadline: `${deadline}ms` });
    assert.equal(got.output.b, null);
    assert.match(got.output.a, / a$/);
    assert.deepEqual(reasons(got, 'fan.b', 'fan.c'), [['cancelled', 'deadline'], ['cancelled', 'deadline']]);
    assertJoin(got.step.fan.join, { satisfied_by: 'deadline', counted: 1, cancelled: 2 });
    const waited = calls[1].closed_ms - calls[1].start_ms;
    t.diagnostic(`closed ${waited.toFixed(0)} ms after they began, by a deadline of ${deadline} ms`);
    assert.ok(waited >= deadline - 50, `${waited} ms`);
    if (!SLOW) assert.ok(waited <= deadline + CLOSE_MS, `${waited} ms`);
});

test('deadline: with too few successes the join fails with join_deadline', limit, async (t) => {
    for (const join of [{ policy: 'all', deadline: '500ms', min: 2 }, { policy: { quorum: 2 }, deadline: '500ms' }]) {
        const { got, calls } = await fan(t, { a: ask('mock', 'a'), b: ask('mock-hang', 'b'), c: ask('mock-hang', 'c') }, join, { code: 1 });
        assert.equal(got.error.code, 'join_deadline');
        assert.equal(got.step['fan.b'].status, 'cancelled');
        assert.equal(got.step['fan.b'].reason, 'deadline');
        assert.ok(callsOf(calls, 'b').every((call) => call.outcome === 'aborted'));
    }
});

test('the top level joins as all: an unhandled failure cancels what runs, with run_failed', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const steps = { slow: ask('mock-hang', 'slow'), bad: ask('mock-s500-200ms', 'bad'), after: ask('mock', '${ .steps.slow.output }') };
    const result = await run(t, home, ['run', home.file('w.json', once(steps)), '--json'], { env: model.env });
    assert.equal(result.code, 1);
    const got = parseRun(result);
    const calls = await model.allCalls();
    assert.equal(got.error.code, 'provider_error');
    assert.equal(got.error.step, 'bad');
    assert.deepEqual(reasons(got, 'slow'), [['cancelled', 'run_failed']]);
    assertClosed(t, calls, ['slow'], callsOf(calls, 'bad')[0].end_ms);
    assert.equal(calls.length, 2);
});

test('with join: settled at the top, independent steps finish before the run fails', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const steps = { slow: ask('mock-500ms', 'slow'), bad: ask('mock-s500', 'bad'), then: ask('mock', 'then ${ .steps.slow.output }') };
    const file = home.file('w.json', once(steps, { join: 'settled' }));
    const result = await run(t, home, ['run', file, '--json'], { env: model.env });
    const got = parseRun(result);
    assert.equal(result.code, 1);
    assert.equal(got.status, 'failed');
    assert.equal(got.step.slow.status, 'succeeded');
    assert.equal(got.step.then.status, 'succeeded');
    assert.equal(got.usage.calls, 3);
});

test('accept: a result that is not accepted counts as a failure and is not tried again', limit, async (t) => {
    const branches = { a: { reduce: { ok: false, v: 1 } }, b: { reduce: { ok: true, v: 2 } }, c: { reduce: { ok: true, v: 3 } } };
    const { got } = await fan(t, branches, { policy: 'settled', accept: '${ .output.ok }' });
    assert.equal(got.step['fan.a'].status, 'failed');
    assert.equal(got.step['fan.a'].error.code, 'not_accepted');
    assert.equal(got.step['fan.a'].attempts, 1);
    assert.equal(got.output.a.error.code, 'not_accepted');
    assert.deepEqual(got.output.b, { ok: true, v: 2 });
    assertJoin(got.step.fan.join, { counted: 2, failed: 1 });
    const all = await fan(t, branches, { policy: 'all', accept: '${ .output.ok }' }, { code: 1 });
    assert.equal(all.got.error.code, 'branch_failed');
    assert.equal(all.got.step.fan.error.cause.code, 'not_accepted');
});

test('losers: drain lets dependents go on while the losers finish and keep their results', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const steps = {
        fan: { join: { policy: 'any', losers: 'drain' }, parallel: { branches: { quick: ask('mock-50ms', 'quick'), slow: ask('mock-1000ms', 'slow') } } },
        next: ask('mock-50ms', 'next ${ .steps.fan.output }'),
    };
    const result = await run(t, home, ['run', home.file('w.json', once(steps)), '--json'], { env: model.env });
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    const calls = await model.allCalls();
    const slow = callsOf(calls, 'slow')[0];
    const next = calls.find((call) => call.prompt.startsWith('next'));
    assert.equal(slow.outcome, 'answered');
    assert.ok(next.start_ms < slow.end_ms, 'the dependent did not wait');
    assert.equal(got.step['fan.slow'].status, 'succeeded');
    assert.match(got.step['fan.slow'].output, / slow$/);
    assert.equal(got.usage.calls, 3);
});

test('skipped branches leave the count', limit, async (t) => {
    const off = { when: '${ .input.on }' };
    const branches = { a: ask('mock', 'a'), b: ask('mock', 'b', off), c: ask('mock', 'c', off) };
    const all = await fan(t, branches, 'all');
    assert.deepEqual([all.got.output.b, all.got.output.c], [null, null]);
    assert.deepEqual(reasons(all.got, 'fan.b')[0][0], 'skipped');
    assert.equal(all.calls.length, 1);
    const quorum = await fan(t, branches, { quorum: 2 }, { code: 1 });
    assert.equal(quorum.got.error.code, 'quorum_unreachable');
    const share = await fan(t, branches, { fraction: 1 });
    assert.equal(share.got.status, 'succeeded');
});

test('an empty parallel is satisfied under all and settled, and fails under the others', limit, async (t) => {
    const off = { when: '${ .input.on }' };
    for (const join of ['all', 'settled']) {
        const { got } = await fan(t, { a: ask('mock', 'a', off) }, join);
        assert.deepEqual(got.output, { a: null });
    }
    const { got } = await fan(t, { a: ask('mock', 'a', off) }, 'any', { code: 1 });
    assert.equal(got.error.code, 'quorum_unreachable');
});

test('a step whose dependencies were all skipped is skipped too, unless it has when', limit, async (t) => {
    const home = place(t);
    const steps = {
        off: { when: '${ .input.on }', reduce: 1 },
        then: { reduce: '${ .steps.off.output }' },
        kept: { when: '${ .input.yes }', reduce: ['${ .steps.off.status }', '${ .steps.off.output }'] },
        other: { reduce: 7 },
        mixed: { reduce: ['${ .steps.off.output }', '${ .steps.other.output }'] },
    };
    const result = await run(t, home, ['run', home.file('w.json', { steps }), '--json', '-i', 'yes=true']);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.deepEqual(reasons(got, 'off', 'then').map(([status]) => status), ['skipped', 'skipped']);
    assert.deepEqual(got.step.kept.output, ['skipped', null]);
    assert.deepEqual(got.step.mixed.output, [null, 7]);
});

test('on_error: continue gives null, default its value, step the handler’s output; all are handled', limit, async (t) => {
    const branches = {
        cont: ask('mock-s500', 'cont', { on_error: 'continue' }),
        dflt: ask('mock-s500', 'dflt', { on_error: { default: { n: 0, who: '${ .run.id }' } } }),
        step: ask('mock-s500', 'step', { on_error: { step: ask('mock', 'handler sees ${ .error.code }') } }),
        fine: ask('mock', 'fine', { on_error: 'continue' }),
    };
    const { got, calls } = await fan(t, branches, 'all');
    assert.equal(got.output.cont, null);
    assert.deepEqual(got.output.dflt, { n: 0, who: got.id });
    assert.match(got.output.step, /handler sees provider_error$/);
    for (const id of ['cont', 'dflt', 'step']) {
        assert.equal(got.step[`fan.${id}`].status, 'failed');
        assert.equal(got.step[`fan.${id}`].handled, true);
        assert.equal(got.step[`fan.${id}`].error.code, 'provider_error');
    }
    assert.equal(got.step['fan.fine'].handled, false);
    assertJoin(got.step.fan.join, { policy: 'all', counted: 4, failed: 0 });
    assert.equal(calls.length, 5);
});

test('a handler that fails, fails the step', limit, async (t) => {
    const { got } = await fan(t, { a: ask('mock-s500', 'a', { on_error: { step: ask('mock-s400', 'handler') } }) }, 'all', { code: 1 });
    assert.equal(got.step['fan.a'].handled, false);
    assert.equal(got.status, 'failed');
});

test('on_error on the joining step itself takes over after the join failed', limit, async (t) => {
    const { got } = await fan(t, { a: ask('mock-s500', 'a'), b: ask('mock', 'b') }, 'all', { step: { on_error: { default: 'plan B' } } });
    assert.equal(got.output, 'plan B');
    assert.equal(got.step.fan.handled, true);
});

test('retry: so many attempts, counted; each is a call', limit, async (t) => {
    const retry = (attempts) => ({ retry: { attempts, initial: '20ms', jitter: 0 } });
    const { got, calls } = await fan(t, {
        heals: ask('mock-fail2', 'heals', retry(3)),
        never: ask('mock-s500', 'never', retry(3)),
        once: ask('mock-fail1', 'once', retry(1)),
        wrong: ask('mock-s400', 'wrong', retry(5)),
        only: ask('mock-s500', 'only', { retry: { attempts: 5, on: ['timeout'] } }),
    }, 'settled');
    const seen = (prompt) => callsOf(calls, prompt).length;
    assert.deepEqual(['heals', 'never', 'once', 'wrong', 'only'].map(seen), [3, 3, 1, 1, 1]);
    assert.deepEqual(['heals', 'never', 'once', 'wrong', 'only'].map((id) => got.step[`fan.${id}`].attempts), [3, 3, 1, 1, 1]);
    assert.equal(got.step['fan.heals'].status, 'succeeded');
    assert.equal(got.step['fan.heals'].error, null);
    assert.equal(got.step['fan.heals'].usage.calls, 3);
});

test('retry waits grow by the multiplier up to max', limit, async (t) => {
    const retry = { attempts: 5, initial: '100ms', multiplier: 2, max: '300ms', jitter: 0 };
    const { calls } = await fan(t, { a: ask('mock-s500', 'a', { retry }) }, 'settled');
    const gaps = calls.slice(1).map((call, i) => call.start_ms - calls[i].end_ms);
    t.diagnostic(`gaps: ${gaps.map((gap) => gap.toFixed(0)).join(', ')} ms`);
    [100, 200, 300, 300].forEach((least, i) => {
        assert.ok(gaps[i] >= least - 2, `gap ${i}: ${gaps[i]} ms, least ${least}`);
        if (!SLOW) assert.ok(gaps[i] <= least + 100, `gap ${i}: ${gaps[i]} ms for ${least}`);
    });
});

test('deadline of a step runs over all its attempts', limit, async (t) => {
    const step = { deadline: '600ms', timeout: '250ms', retry: { attempts: 10, initial: '10ms', jitter: 0 } };
    const { got, calls } = await fan(t, { a: ask('mock-hang', 'a', step), b: ask('mock', 'b') }, 'settled');
    assert.equal(got.step['fan.a'].error.code, 'deadline_exceeded');
    assert.ok(calls.filter((call) => call.prompt === 'a').length >= 2);
    assert.equal(got.step['fan.b'].status, 'succeeded');
    if (!SLOW) assert.ok(got.step['fan.a'].duration_ms >= 590 && got.step['fan.a'].duration_ms < 900, `${got.step['fan.a'].duration_ms} ms`);
});

test('a join inside a join: the inner failure is contained, its siblings closed, the outer goes on', limit, async (t) => {
    const inner = (branches, join) => ({ join, parallel: { branches } });
    const { got, calls } = await fan(t, {
        left: inner({ bad: ask('mock-s500-200ms', 'left.bad'), slow: ask('mock-hang', 'left.slow') }, 'all'),
        right: inner({ one: ask('mock-100ms', 'right.one'), two: ask('mock-hang', 'right.two') }, 'any'),
        plain: ask('mock-400ms', 'plain'),
    }, 'settled');
    assert.equal(got.output.left.error.code, 'branch_failed');
    assert.match(got.output.right, / right\.one$/);
    assert.match(got.output.plain, / plain$/);
    assert.deepEqual(reasons(got, 'fan.left.slow', 'fan.right.two'), [['cancelled', 'sibling_failed'], ['cancelled', 'lost_race']]);
    assertClosed(t, calls, ['left.slow'], callsOf(calls, 'left.bad')[0].end_ms);
    assertClosed(t, calls, ['right.two'], callsOf(calls, 'right.one')[0].end_ms);
});

test('cancelling an outer join reaches every call below it', limit, async (t) => {
    const deep = (i) => ({ parallel: { branches: { x: { parallel: { branches: { y: ask('mock-hang', `deep${i}`), z: ask('mock-hang', `deep${i}z`) } } } } } });
    const { got, calls } = await fan(t, { bad: ask('mock-s400-400ms', 'bad'), one: deep(1), two: deep(2) }, 'all', { code: 1 });
    assertClosed(t, calls, ['deep1', 'deep1z', 'deep2', 'deep2z'], callsOf(calls, 'bad')[0].end_ms);
    for (const path of ['fan.one', 'fan.one.x', 'fan.one.x.y', 'fan.two.x.z']) {
        assert.equal(got.step[path].status, 'cancelled', path);
        assert.equal(got.step[path].reason, 'sibling_failed', path);
    }
});

test('usage counts every attempt that reached a server, of losers too', limit, async (t) => {
    const { got } = await fan(t, {
        won: ask('mock-300ms-w5', 'won'),
        lost: ask('mock-hang', 'lost'),
        tried: ask('mock-fail1', 'tried', { retry: { attempts: 1 } }),
    }, 'any');
    assert.equal(got.step['fan.won'].usage.output_tokens, 5);
    assert.equal(got.step['fan.lost'].usage.calls, 1);
    assert.equal(got.step['fan.tried'].usage.calls, 1);
    assert.equal(got.usage.calls, 3);
    assert.equal(got.usage.cost_usd, null);
});

test('a later step sees status, error, usage and join of a join', limit, async (t) => {
    const look = { reduce: { status: '${ .steps.fan.status }', join: '${ .steps.fan.join }', calls: '${ .steps.fan.usage.calls }', code: '${ .steps.fan.output.b.error.code }' } };
    const { got } = await fan(t, { a: ask('mock', 'a'), b: ask('mock-s500', 'b') }, 'settled', { more: { steps: { look } } });
    assert.equal(got.output.status, 'succeeded');
    assert.equal(got.output.join.failed, 1);
    assert.equal(got.output.code, 'provider_error');
    assert.deepEqual(got.output.join, got.step.fan.join);
});
