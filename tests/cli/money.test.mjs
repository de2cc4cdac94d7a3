// money.test.mjs - what runs cost and what budgets let through, against an upstream that keeps its own books: it counts the
// tokens of every call and notes what could be in flight at once. And what `plait estimate` says before.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { limit, place, run } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

const PRICE = { input_usd_per_mtok: 2, cached_input_usd_per_mtok: 0.5, output_usd_per_mtok: 8 };
const CONFIG = { models: { 'openai/m': PRICE } };
const cost = (u) =>
    ((u.prompt_tokens - u.cached) * PRICE.input_usd_per_mtok + u.cached * PRICE.cached_input_usd_per_mtok +
        u.completion_tokens * PRICE.output_usd_per_mtok) / 1e6;

// An upstream of one model. `answer(n, body)` says what call n used, and fails it where it gives a status.
async function upstream(t, answer) {
    const book = { calls: 0, inFlight: 0, peak: 0, usage: { prompt_tokens: 0, completion_tokens: 0, cached: 0 }, worst: 0 };
    let promised = 0;
    const server = http.createServer((request, response) => {
        const pieces = [];
        request.on('data', (piece) => pieces.push(piece));
        request.on('end', () => {
            const body = JSON.parse(Buffer.concat(pieces).toString('utf8'));
            const own = Math.ceil(JSON.stringify(body.messages).length / 4) + body.max_tokens;
            const { delay = 20, status = 200, text = 'fine', cached = 0, ...used } = answer(book.calls++, body);
            promised += own;
            book.peak = Math.max(book.peak, ++book.inFlight);
            book.worst = Math.max(book.worst, book.usage.prompt_tokens + book.usage.completion_tokens + promised);
            setTimeout(() => {
                promised -= own;
                book.inFlight--;
                response.writeHead(status, { 'content-type': 'application/json' });
                if (status !== 200) {
                    response.end(JSON.stringify({ error: { message: 'not now', type: 'server_error' } }));
                    return;
                }
                book.usage.prompt_tokens += used.prompt_tokens;
                book.usage.completion_tokens += used.completion_tokens;
                book.usage.cached += cached;
                response.end(JSON.stringify({
                    id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'm',
                    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
                    usage: { ...used, total_tokens: 0, prompt_tokens_details: { cached_tokens: cached } },
                }));
            }, delay);
        });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    book.tokens = () => book.usage.prompt_tokens + book.usage.completion_tokens;
    book.env = { OPENAI_BASE_URL: `http://127.0.0.1:${server.address().port}/v1`, OPENAI_API_KEY: 'test-key' };
    return book;
}

const near = (is, should, what) => assert.ok(Math.abs(is - should) < 1e-9, `${what}: ${is}, should be ${should}`);

const wide = (budget, more = {}) => ({
    name: 'wide',
    defaults: { model: 'openai/m', retry: { attempts: 1 } },
    steps: {
        all: {
            map: { over: '${ .input.items }', do: { llm: { prompt: 'Say ${ .item }.', max_tokens: 100 } } },
            join: 'settled',
            budget,
            ...more,
        },
    },
    output: '${ .steps.all.output }',
});
const items = JSON.stringify({ items: Array.from({ length: 100 }, (_, i) => i) });

async function execute(t, book, workflow, ...more) {
    const home = place(t);
    const config = home.file('config.json', CONFIG);
    const file = home.file('w.json', workflow);
    return run(t, home, ['run', file, '--config', config, '--json', '-q', ...more], { env: book.env });
}

test('100 branches at once never have more reserved than the budget, and all run in turn', limit, async (t) => {
    const book = await upstream(t, (n, body) => ({
        prompt_tokens: Math.ceil(JSON.stringify(body.messages).length / 4) - 2, completion_tokens: 5 + (n % 20), delay: 5,
    }));
    const result = parseRun(await execute(t, book, wide({ tokens: 4000 }), '--input', items));

    assert.equal(result.status, 'succeeded');
    assert.equal(book.calls, 100, 'what was reserved and not used came free');
    assert.equal(result.output.length, 100);
    assert.ok(book.peak > 10 && book.peak <= 36, `${book.peak} at once: 4000 / (11 + 100) is 36`);
    assert.ok(book.worst <= 4000, `${book.worst} tokens were used or could have been`);
    assert.equal(result.usage.input_tokens + result.usage.output_tokens, book.tokens());
});

test('a budget that is used up fails what is left, and keeps what is finished', limit, async (t) => {
    const book = await upstream(t, () => ({ prompt_tokens: 10, completion_tokens: 60, delay: 2 }));
    const result = parseRun(await execute(t, book, wide({ tokens: 1500 }), '--input', items));
    const failed = result.output.filter((one) => one?.error);

    assert.equal(result.status, 'succeeded', 'settled keeps the rest');
    assert.ok(book.tokens() <= 1500, `${book.tokens()} of 1500`);
    assert.equal(book.calls, 100 - failed.length);
    assert.ok(book.calls >= 19 && book.calls <= 21, `${book.calls} calls of 70 tokens, the last ones reserving 110`);
    for (const one of failed) {
        assert.equal(one.error.code, 'budget_exceeded');
        assert.match(one.error.detail, /the budget of step all is 1500/);
    }
});

test('a server that counts more than was reserved passes the budget by no more than that', limit, async (t) => {
    const book = await upstream(t, () => ({ prompt_tokens: 40, completion_tokens: 150, delay: 10 }));
    const result = parseRun(await execute(t, book, wide({ tokens: 3000 }), '--input', items));
    const over = book.calls * (190 - 100); // at least 100 were reserved for each

    assert.ok(result.output.some((one) => one?.error?.code === 'budget_exceeded'));
    assert.ok(book.tokens() <= 3000 + over, `${book.tokens()} of 3000`);
});

test('money counts as the upstream counts: failed tries, repairs, cached tokens and all', limit, async (t) => {
    const book = await upstream(t, (n) => ({
        prompt_tokens: 100 + n, cached: 30, completion_tokens: 17 + n, delay: 2,
        status: n === 1 ? 503 : 200, text: n % 4 === 0 ? 'no JSON' : '{"n": 1}',
    }));
    const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };
    const result = parseRun(await execute(t, book, {
        name: 'many',
        defaults: { model: 'openai/m', retry: { attempts: 3, initial: '1ms' } },
        budget: { cost_usd: 1 },
        steps: {
            judged: { vote: { of: { llm: { prompt: 'Vote.', schema, max_tokens: 50 } }, samples: 5 } },
            inner: { workflow: { steps: { a: { llm: { prompt: 'A', schema, max_tokens: 50 } } } } },
        },
    }));
    const own = cost(book.usage);

    assert.equal(result.status, 'succeeded', JSON.stringify(result.error));
    assert.equal(result.usage.calls, book.calls);
    assert.equal(result.usage.cached_input_tokens, book.usage.cached);
    near(result.usage.cost_usd, own, 'the run');
    near(result.step.judged.usage.cost_usd + result.step.inner.usage.cost_usd, own, 'its steps');
    near(result.steps.filter((s) => s.kind === 'llm').reduce((sum, s) => sum + s.usage.cost_usd, 0), own, 'its calls');
});

test('a sum of amounts has no digits that none of them has', limit, async (t) => {
    const home = place(t);
    const config = home.file('c.json', { models: { 'sim/echo': { input_usd_per_mtok: 0, output_usd_per_mtok: 100_000 } } });
    const do_ = { llm: { model: 'sim/echo?text=x', prompt: '${ .item }' } };
    const result = await run(t, home, ['run', home.file('w.json', { steps: { a: { map: { over: [1, 2, 3], do: do_ } } } }), '--json', '--config', config]);
    assert.equal(result.code, 0, result.err);
    assert.match(result.out, /"cost_usd":0\.3\}/);
    assert.doesNotMatch(result.out, /0\.30000/);
});

test('a budget of money with a model that has no price is refused before anything runs', limit, async (t) => {
    const book = await upstream(t, () => ({ prompt_tokens: 1, completion_tokens: 1 }));
    const workflow = { steps: { a: { llm: { model: 'openai/other', prompt: 'x' }, budget: { cost_usd: 1 } } } };
    const refused = await execute(t, book, workflow);

    assert.equal(refused.code, 2);
    assert.match(refused.err + refused.out, /the price of 'openai\/other' is not known; add it to 'models'/);
    delete workflow.steps.a.budget;
    const given = await execute(t, book, workflow, '--budget', 'cost_usd=1');
    assert.equal(given.code, 2);
    assert.match(given.err, /the price of 'openai\/other' is not known/);
    assert.equal(book.calls, 0);
});

test('--budget counts beside that of the workflow, and the summary says what was used', limit, async (t) => {
    const home = place(t);
    const config = home.file('config.json', { models: { 'sim/echo': PRICE } });
    const file = home.file('w.json', {
        defaults: { model: 'sim/echo?tokens=20' }, budget: { tokens: 100000 },
        steps: { a: { llm: { prompt: 'one two three', max_tokens: 50 } } },
    });
    const ok = await run(t, home, ['run', file, '--config', config, '--budget', 'tokens=500,cost_usd=1']);
    const short = await run(t, home, ['run', file, '--config', config, '--budget', 'tokens=40']);
    const wrong = await run(t, home, ['run', file, '--config', config, '--budget', 'a lot']);

    assert.equal(ok.code, 0, ok.err);
    assert.match(ok.err, /^1 call, \d+ tokens in, 4 out, \$0\.0000\d+$/m);
    assert.equal(short.code, 1);
    assert.match(short.err, /budget_exceeded: this call may use \d+ tokens; the run's budget is 40, of which 0 are used/);
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /--budget a lot: write tokens=20000/);
});

test('plait estimate counts what the input says, and says what it cannot know', limit, async (t) => {
    const home = place(t);
    const config = home.file('config.json', CONFIG);
    const file = home.file('w.json', { ...wide({ tokens: 4000 }), input: { type: 'object', required: ['items'] } });
    const env = { OPENAI_API_KEY: 'unused' };
    const known = await run(t, home, ['estimate', file, '--config', config, '--json', '--input', items], { env });
    const blind = await run(t, home, ['estimate', file, '--config', config], { env });
    const bad = await run(t, home, ['estimate', file, '--input', '{"items": 1'], { env });

    assert.equal(known.code, 0, known.err);
    const report = JSON.parse(known.out);
    assert.deepEqual(report.calls, { expected: 100, at_most: 100 });
    assert.deepEqual(report.output_tokens, { expected: 10000, at_most: 10000 });
    assert.ok(report.input_tokens.expected >= 900 && report.input_tokens.expected <= 1200, JSON.stringify(report));
    near(report.cost_usd.at_most, (report.input_tokens.at_most * 2 + 10000 * 8) / 1e6, 'cost');
    assert.deepEqual(report.budget, null);
    assert.deepEqual(report.unbounded, []);
    assert.equal(report.steps[0].path, 'all.*');
    assert.equal(blind.code, 0, blind.err);
    assert.match(blind.out, /^calls\s+10\s+unknown$/m);
    assert.match(blind.out, /^not known: how many items 'all' goes through: 10 are assumed$/m);
    assert.match(blind.out, /^assumed: no input was given/m);
    assert.equal(bad.code, 2);
});

test('plait estimate runs jq expressions that see the input alone', limit, async (t) => {
    const home = place(t);
    const each = (over, prompt = 'x') => ({ map: { over, do: { llm: { prompt, max_tokens: 10 } } } });
    const file = home.file('w.json', {
        defaults: { model: 'sim/echo', retry: { attempts: 1 } },
        steps: {
            good: each('${ [.input.items[] | select(.stars > 3)] }'),
            pairs: each('${ .input.items | [range(length / 2)] }'),
            text: { llm: { prompt: '${ .input.items | map(.text) | join("") }', max_tokens: 10 } },
            no: { llm: { prompt: 'never' }, when: '${ .input.items | length > 1000 }' },
            inner: { workflow: { input: { list: '${ .input.items | length | [range(.)] }' }, steps: { m: each('${ .input.list | .[1:] }') } } },
            late: each('${ .steps.good.output | map(.) }'),
            wrong: each('${ .input.items | .text | length | [.] }'),
            endless: each('${ [range(1e15)] }'),
            after: each('${ [.input.items[]] }'),
        },
    });
    const items = Array.from({ length: 40 }, (_, i) => ({ stars: i % 5 + 1, text: 'word '.repeat(100) }));
    const { out, err, code } = await run(t, home, ['estimate', file, '--json', '--input', JSON.stringify({ items })]);
    assert.equal(code, 0, err);
    const report = JSON.parse(out);
    const step = (path) => report.steps.find((one) => one.path === path);

    assert.deepEqual(step('good.*').calls, { expected: 16, at_most: null });
    assert.equal(step('pairs.*').calls.expected, 20);
    assert.ok(step('text').input_tokens.expected > 4000 && step('text').input_tokens.expected < 12000, JSON.stringify(step('text')));
    assert.equal(step('no'), undefined);
    assert.equal(step('inner.m.*').calls.expected, 39);
    for (const name of ['late', 'wrong', 'endless', 'after'])
        assert.ok(report.unbounded.includes(`how many items '${name}' goes through: 10 are assumed`), `${name}: ${report.unbounded}`);
    assert.ok(!report.unbounded.some((line) => /'(good|pairs|inner)/.test(line)), report.unbounded.join());
});

test('plait estimate has votes, repairs, tries and fallbacks in what it says at most', limit, async (t) => {
    const home = place(t);
    const schema = { type: 'object' };
    const file = home.file('w.json', {
        defaults: { model: 'sim/echo', retry: { attempts: 2 } },
        steps: {
            v: { vote: { of: { llm: { prompt: 'x', max_tokens: 10, schema, repair: 2, fallback: ['sim/echo?tokens=9'] } }, samples: 3 } },
            r: { repeat: { max: 4, until: '${ .output }', steps: { s: { llm: { prompt: 'y', max_tokens: 10 } } } } },
            no: { llm: { prompt: 'never' }, when: '${ .input.deep }' },
        },
    });
    const { out, err } = await run(t, home, ['estimate', file, '--json', '--input', '{"deep": false}']);
    const report = JSON.parse(out || err);
    const of = (path, model) => report.steps.find((s) => s.path === path && s.model === model)?.calls;

    assert.deepEqual(of('v.*', 'sim/echo'), { expected: 3, at_most: 3 * 2 * 3 });
    assert.deepEqual(of('v.*', 'sim/echo?tokens=9'), { expected: 0, at_most: 3 * 2 * 3 });
    assert.deepEqual(of('r.*.s', 'sim/echo'), { expected: 2, at_most: 8 });
    assert.equal(of('no', 'sim/echo'), undefined);
    assert.equal(report.cost_usd, null);
    assert.deepEqual(report.unpriced.sort(), ['sim/echo', 'sim/echo?tokens=9']);
});

test('what a server says a call cost counts where the configuration says nothing', limit, async (t) => {
    const book = await upstream(t, () => ({ prompt_tokens: 10, completion_tokens: 5, cost: 0.0125 }));
    const home = place(t);
    const priced = { steps: { a: { llm: { model: 'openai/m', prompt: 'x', max_tokens: 20 } } } };
    const other = { steps: { a: { llm: { model: 'openai/other', prompt: 'x', max_tokens: 20 } } } };
    const config = home.file('config.json', CONFIG);
    const of = async (name, workflow) => {
        const args = ['run', home.file(name, workflow), '--config', config, '--json', '-q'];
        return parseRun(await run(t, home, args, { env: book.env })).usage.cost_usd;
    };

    near(await of('other.json', other), 0.0125, 'its own figure');
    near(await of('priced.json', priced), (10 * 2 + 5 * 8) / 1e6, 'the price of the configuration');
});
