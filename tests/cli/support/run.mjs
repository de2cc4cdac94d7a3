// run.mjs - workflows in short, runs as JSON and their shapes as the contract fixes them, and the rows a run left behind.
// Not processes (plait.mjs). Used by tests/cli/*.test.mjs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { folder } from './plait.mjs';

// ---- workflows ----

// A step that asks the stand-in model `model` ("mock-200ms"); its prompt names it in the log.
export function ask(model, prompt, more = {}) {
    return { llm: { model: `openai/${model}`, prompt }, ...more };
}

// A document whose steps are called once each.
export function once(steps, more = {}) {
    return { defaults: { retry: { attempts: 1 } }, steps, ...more };
}

// ---- answers of --json ----

export function parseRun(result) {
    assert.match(result.out, /^\{.*\}\n$/s, `stdout is one JSON object; stderr: ${result.err}`);
    const run = JSON.parse(result.out);
    checkRun(run);
    run.step = Object.fromEntries(run.steps.map((step) => [step.path, step]));
    return run;
}

const isTime = (value) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value);
const isCount = (value) => Number.isInteger(value) && value >= 0;

function checkUsage(usage, where) {
    for (const key of ['calls', 'input_tokens', 'cached_input_tokens', 'output_tokens'])
        assert.ok(isCount(usage[key]), `${where}: usage.${key} is ${usage[key]}`);
    assert.ok(usage.cost_usd === null || typeof usage.cost_usd === 'number', `${where}: usage.cost_usd`);
}

function checkTimes(object, where) {
    for (const key of ['created_at', 'started_at', 'ended_at'])
        assert.ok(object[key] === null || isTime(object[key]), `${where}: ${key} is ${object[key]}`);
    assert.ok(isTime(object.created_at), `${where}: created_at is ${object.created_at}`);
    if (object.started_at && object.ended_at) {
        assert.equal(object.duration_ms, Date.parse(object.ended_at) - Date.parse(object.started_at), where);
        assert.ok(object.duration_ms >= 0, where);
    } else {
        assert.equal(object.duration_ms, null, where);
    }
}

function checkError(error, where) {
    for (const key of ['code', 'title', 'detail'])
        assert.ok(typeof error[key] === 'string' && error[key], `${where}: error.${key} is ${error[key]}`);
    assert.match(error.code, /^[a-z_]+$/, where);
    assert.equal(typeof error.retryable, 'boolean', where);
}

const stepKeys = ['path', 'kind', 'status', 'attempts', 'model', 'output', 'error', 'handled', 'reason', 'join', 'waiting',
    'usage', 'cached', 'progress', 'created_at', 'started_at', 'ended_at', 'duration_ms'];
const stepStatuses = ['pending', 'running', 'retrying', 'waiting', 'succeeded', 'failed', 'skipped', 'cancelled'];
const runKeys = ['id', 'object', 'status', 'paused', 'workflow', 'input', 'output', 'error', 'created_at', 'started_at',
    'ended_at', 'duration_ms', 'usage', 'progress', 'thread', 'metadata'];
const progressKeys = ['total', 'pending', 'running', 'waiting', 'succeeded', 'failed', 'skipped', 'cancelled'];

function checkJoin(join, where) {
    for (const key of ['policy', 'satisfied_by', 'counted', 'failed', 'cancelled', 'missing'])
        assert.ok(key in join, `${where}: join has no ${key}`);
    for (const key of ['counted', 'failed', 'cancelled', 'missing']) assert.ok(isCount(join[key]), `${where}: join.${key}`);
}

export function checkStep(step) {
    const where = `step ${step.path}`;
    for (const key of stepKeys) assert.ok(key in step, `${where} has no ${key}`);
    assert.ok(stepStatuses.includes(step.status), `${where}: status ${step.status}`);
    assert.ok(isCount(step.attempts), where);
    assert.equal(typeof step.handled, 'boolean', where);
    assert.equal(typeof step.cached, 'boolean', where);
    for (const key of ['model', 'reason']) assert.ok(step[key] === null || typeof step[key] === 'string', `${where}: ${key}`);
    if (step.error) checkError(step.error, where);
    if (step.status === 'failed') assert.ok(step.error, `${where} failed without an error`);
    if (step.status === 'cancelled') assert.ok(step.reason, `${where} was cancelled without a reason`);
    if (step.join) checkJoin(step.join, where);
    checkUsage(step.usage, where);
    checkTimes(step, where);
}

// Without what is said about its steps.
export function checkRunAlone(run) {
    for (const key of runKeys) assert.ok(key in run, `the run has no ${key}`);
    assert.match(run.id, /^run_[0-9A-Za-z]+$/);
    assert.equal(run.object, 'run');
    assert.ok(['queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled'].includes(run.status), run.status);
    assert.equal(typeof run.paused, 'boolean');
    assert.deepEqual(Object.keys(run.workflow).sort(), ['name', 'version']);
    assert.equal(typeof run.metadata, 'object');
    if (run.error) checkError(run.error, 'the run');
    for (const key of progressKeys) assert.ok(isCount(run.progress[key]), `progress.${key}`);
    const counted = progressKeys.slice(1).reduce((sum, key) => sum + run.progress[key], 0);
    assert.equal(counted, run.progress.total, 'progress adds up');
    checkUsage(run.usage, 'the run');
    checkTimes(run, 'the run');
}

export function checkRun(run) {
    checkRunAlone(run);
    assert.ok(Array.isArray(run.steps));
    run.steps.forEach(checkStep);
    // what has steps inside gives their sum
    const alone = run.steps.filter(({ kind }) => !['parallel', 'map', 'vote', 'workflow', 'agent', 'repeat'].includes(kind));
    for (const key of ['calls', 'input_tokens', 'output_tokens'])
        assert.equal(alone.reduce((sum, step) => sum + step.usage[key], 0), run.usage[key],
            `the steps' usage.${key} adds up to the run's`);
}

// ---- what is on disk ----

// Rows of a database as it lies there, by the sqlite3 command and on a copy: looking at it must not change it.
export function rows(t, database, sql) {
    const dir = folder(t);
    const copy = path.join(dir, 'copy.db');
    fs.copyFileSync(database, copy);
    if (fs.existsSync(`${database}-wal`)) fs.copyFileSync(`${database}-wal`, `${copy}-wal`);
    const text = execFileSync('sqlite3', ['-json', copy, sql], { encoding: 'utf8', maxBuffer: 1 << 28 });
    return text.trim() ? JSON.parse(text) : [];
}

// A generator of the same numbers for the same seed, in [0, 1).
export function random(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let x = state;
        x = Math.imul(x ^ (x >>> 15), x | 1);
        x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
        return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
    };
}
