// events.mjs - one reader of a run's events: Server-Sent Events or NDJSON, taken apart strictly, as they come. Not what a browser
// tolerates: a line that the contract does not know is an error. Used by tests/http/*.test.mjs.
import assert from 'node:assert/strict';
import http from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { until } from '../../cli/support/plait.mjs';

const lastTypes = ['run.succeeded', 'run.failed', 'run.cancelled'];

// Takes a stream of SSE text apart; `push` gives the events that are whole now.
export class SseParser {
    constructor() {
        Object.assign(this, { rest: '', event: null, comments: 0, retry: null });
    }

    push(text) {
        this.rest += text;
        const lines = this.rest.split('\n');
        this.rest = lines.pop();
        return lines.map((line) => this.line(line)).filter(Boolean);
    }

    line(line) {
        assert.ok(!line.endsWith('\r'), 'lines end with LF alone');
        if (line === '') {
            const { event } = this;
            this.event = null;
            if (!event) return null;
            assert.ok(event.type && event.data, `an event without type or data: ${JSON.stringify(event)}`);
            return event;
        }
        if (line.startsWith(':')) {
            this.comments++;
            return null;
        }
        const [, field, value] = line.match(/^([a-z]+): (.*)$/) ?? assert.fail(`not a line of SSE: ${line}`);
        if (field === 'retry') {
            this.retry = Number(value);
            return null;
        }
        this.event ??= {};
        assert.ok(!(field in this.event) && ['id', 'event', 'data'].includes(field), `one ${field} an event: ${line}`);
        if (field === 'event') this.event.type = value;
        else if (field === 'data') this.event.data = JSON.parse(value);
        else this.event.id = value;
        return null;
    }
}

class NdjsonParser {
    constructor() {
        Object.assign(this, { rest: '', comments: 0 });
    }

    push(text) {
        this.rest += text;
        const lines = this.rest.split('\n');
        this.rest = lines.pop();
        this.comments += lines.filter((line) => line === '').length;
        return lines.filter(Boolean).map((line) => {
            const data = JSON.parse(line);
            return { type: data.type, data, id: data.seq ? String(data.seq) : undefined };
        });
    }
}

// What every event must be, alone.
export function checkEvent({ id, type, data }, run) {
    const where = `${type} ${JSON.stringify(data).slice(0, 200)}`;
    assert.match(type, /^(run|step)\.[a-z]+$/);
    if (run) assert.equal(data.run_id, run, where);
    assert.match(data.run_id, /^run_[0-9A-Za-z]+$/, where);
    assert.match(data.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, where);
    if (type.startsWith('step.')) {
        assert.ok(typeof data.path === 'string' && data.path, where);
        assert.ok(Number.isInteger(data.attempt), where);
    }
    if (type === 'step.delta') {
        assert.equal(id, undefined, 'deltas carry no id');
        assert.equal(typeof data.text, 'string', where);
    } else if (type === 'step.reset' && id === undefined) {
        assert.equal(data.seq, undefined, 'within an attempt it is as passing as the deltas it voids');
    } else if (type !== 'run.progress') {
        assert.match(id, /^[1-9]\d*$/, where);
        assert.equal(data.seq, Number(id), where);
    }
}

// Opens a stream of events. Options: after (Last-Event-ID), query, ndjson, method, path, json (a body: POST), onEvent. `open` resolves to
// the reader once the headers are there; a status other than 200 gives {status, text}.
export function openEvents(port, resource, { after, query = '', ndjson, json, headers = {}, onEvent, paused } = {}) {
    const bytes = json === undefined ? undefined : JSON.stringify(json);
    const all = { accept: ndjson ? 'application/x-ndjson' : 'text/event-stream', ...headers };
    if (after) all['last-event-id'] = String(after);
    if (bytes !== undefined) Object.assign(all, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) });
    const reader = { events: [], ended: false, cutOff: false, bytes: 0 };
    const parser = ndjson ? new NdjsonParser() : new SseParser();
    return new Promise((resolve, reject) => {
        const request = http.request(
            { host: '127.0.0.1', port, path: resource + query, method: bytes === undefined ? 'GET' : 'POST', headers: all, agent: false },
            (answer) => {
                Object.assign(reader, { status: answer.statusCode, headers: answer.headers, answer, parser });
                const decoder = new StringDecoder('utf8');
                const take = (piece) => {
                    const now = Date.now();
                    reader.bytes += piece.length;
                    const text = decoder.write(piece);
                    if (reader.status !== 200) {
                        reader.text = (reader.text ?? '') + text;
                        return;
                    }
                    for (const event of parser.push(text)) {
                        event.at = now;
                        reader.events.push(event);
                        try {
                            checkEvent(event);
                            onEvent?.(event, reader);
                        } catch (error) {
                            reader.failure ??= error;
                        }
                    }
                };
                answer.on('data', take);
                if (paused) answer.pause();
                reader.done = new Promise((over) => {
                    answer.on('error', () => (reader.cutOff = true));
                    answer.on('close', () => {
                        reader.ended = true;
                        reader.whole = answer.complete && !reader.cutOff;
                        over(reader);
                    });
                });
                if (answer.statusCode !== 200) reader.done.then(resolve);
                else resolve(reader);
            },
        );
        request.on('error', (error) => (reader.answer ? (reader.cutOff = true) : reject(error)));
        reader.cut = () => request.destroy();
        request.end(bytes);
    });
}

// Waits for an event that `look` accepts.
export async function event(reader, look, what) {
    return until(() => {
        if (reader.failure) throw reader.failure;
        const found = reader.events.find(look);
        if (!found && reader.ended) throw new Error(`the stream ended without ${what}`);
        return found;
    }, what);
}

// Reads to the end, which must be the run's, and checks the order. Gives the events.
export async function readAll(reader) {
    await reader.done;
    if (reader.failure) throw reader.failure;
    assert.ok(reader.whole, 'the stream ended as a whole');
    checkOrder(reader.events);
    assert.ok(lastTypes.includes(reader.events.at(-1)?.type), `the last event is ${reader.events.at(-1)?.type}`);
    return reader.events;
}

// Sequence numbers increase; a step starts before anything else of it; nothing follows a step's end but its reset or retry.
export function checkOrder(events) {
    let last = 0;
    const over = new Set();
    const begun = new Set();
    for (const { id, type, data } of events) {
        if (id !== undefined) {
            assert.ok(Number(id) > last, `${type}: ${id} after ${last}`);
            last = Number(id);
        }
        if (!data.path) continue;
        assert.ok(!over.has(data.path), `${type} of ${data.path} after its end`);
        if (type === 'step.started') begun.add(data.path);
        if (['step.delta', 'step.succeeded', 'step.retrying', 'step.reset'].includes(type))
            assert.ok(begun.has(data.path), `${type} of ${data.path} before its start`);
        if (['step.succeeded', 'step.failed', 'step.skipped', 'step.cancelled'].includes(type)) over.add(data.path);
    }
}

// The durable ones, as text that can be compared.
export const durable = (events) => events.filter(({ id }) => id !== undefined).map(({ id, type, data }) => `${id} ${type} ${data.path ?? ''}`);

// Text of each path as the deltas give it; step.reset voids it, a snapshot replaces it.
export function texts(events) {
    const found = {};
    for (const { type, data } of events) {
        if (type === 'step.reset') found[data.path] = '';
        if (type === 'step.delta') found[data.path] = (data.snapshot ? '' : (found[data.path] ?? '')) + data.text;
    }
    return found;
}
