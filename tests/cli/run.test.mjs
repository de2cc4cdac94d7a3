// run.test.mjs - `plait run` as a person or a script meets it: exit codes, what goes to stdout and what to stderr, options,
// input, where runs are kept. Not joins, faults or crashes, which have files of their own.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startModel } from './support/model.mjs';
import { SLOW, limit, place, plait, run, until } from './support/plait.mjs';
import { ask, once, parseRun } from './support/run.mjs';

// Gives its input back, without a call.
const echoInput = { name: 'echo-input', steps: { all: { reduce: '${ .input }' } } };

const typed = {
    ...echoInput,
    input: {
        type: 'object',
        required: ['name'],
        properties: {
            name: { type: 'string', minLength: 1 },
            count: { type: 'integer', default: 3 },
            ratio: { type: 'number' },
            flag: { type: 'boolean' },
            list: { type: 'array' },
            thing: { type: 'object' },
        },
    },
};

const failing = once({ a: { llm: { model: 'sim/echo?fail=400', prompt: 'x' } } });

async function inputOf(t, workflow, args, options = {}) {
    const home = options.home ?? place(t);
    const result = await run(t, home, ['run', home.file('w.json', workflow), ...args], options);
    assert.equal(result.code, 0, result.err);
    return JSON.parse(result.out);
}

test('a run that succeeds exits 0 with its output, and nothing else, on stdout', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { defaults: { model: 'sim/echo' }, steps: { a: { llm: { prompt: 'Hello' } } } });
    const result = await run(t, home, ['run', file]);
    assert.equal(result.code, 0, result.err);
    assert.equal(result.out, '"[simulated] Hello"\n');
    assert.match(result.err, /^run run_\w+$/m);
    assert.match(result.err, /\ba\b.*\bdone\b/);
});

test('a run that fails exits 1, says why on stderr and prints no output', limit, async (t) => {
    const home = place(t);
    const result = await run(t, home, ['run', home.file('w.json', failing)]);
    assert.equal(result.code, 1);
    assert.equal(result.out, '');
    assert.match(result.err, /plait: the run failed at step a: bad_request: /);
});

test('an invalid workflow exits 2 with a line for each problem, and nothing runs', limit, async (t) => {
    const home = place(t);
    home.file('w.yaml', 'steps:\n  a: {llm: {model: sim/echo, promt: hi}}\n  b: {reduce: "${ .steps.c.output }"}\n');
    const result = await run(t, home, ['run', 'w.yaml']);
    assert.equal(result.code, 2);
    assert.equal(result.out, '');
    assert.match(result.err, /^w\.yaml:2:\d+ \/steps\/a\/llm\/promt: .*prompt/m);
    assert.match(result.err, /^w\.yaml:3:\d+ \/steps\/b\/reduce: /m);
    assert.equal(fs.existsSync(home.runs) && fs.readdirSync(home.runs).length > 0, false);
});

test('--json prints the whole run, every field of it in the shape of the contract', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', {
        name: 'shapes',
        defaults: { model: 'sim/echo' },
        join: 'settled',
        steps: {
            fan: {
                join: 'settled',
                parallel: {
                    branches: {
                        good: { llm: { prompt: 'one two three' } },
                        bad: { llm: { model: 'sim/echo?fail=500', prompt: 'x' }, retry: { attempts: 1 } },
                        off: { when: '${ .input.on }', llm: { prompt: 'x' } },
                    },
                },
            },
            sum: { reduce: '${ .steps.fan.output }' },
        },
    });
    const result = await run(t, home, ['run', file, '--json', '-i', 'on=false', '--thread', 'talk']);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.equal(got.status, 'succeeded');
    assert.equal(got.workflow.name, 'shapes');
    assert.deepEqual(got.input, { on: false });
    assert.equal(got.thread, 'talk');
    assert.deepEqual(got.metadata, {});
    assert.deepEqual(Object.keys(got.step).sort(), ['fan', 'fan.bad', 'fan.good', 'fan.off', 'sum']);
    assert.equal(got.step['fan.good'].output, '[simulated] one two three');
    assert.equal(got.step['fan.good'].model, 'sim/echo');
    assert.equal(got.step['fan.good'].kind, 'llm');
    assert.equal(got.step['fan.good'].attempts, 1);
    assert.equal(got.step['fan.good'].usage.calls, 1);
    assert.ok(got.step['fan.good'].usage.output_tokens > 0);
    assert.equal(got.step['fan.bad'].status, 'failed');
    assert.equal(got.step['fan.bad'].error.code, 'provider_error');
    assert.equal(got.step['fan.off'].status, 'skipped');
    assert.equal(got.step['fan.off'].output, null);
    assert.deepEqual(got.output, got.step.sum.output);
    assert.deepEqual(got.progress, { total: 5, pending: 0, running: 0, waiting: 0, succeeded: 3, failed: 1, skipped: 1, cancelled: 0 });
    const { policy, satisfied_by: by, counted, failed, cancelled, missing } = got.step.fan.join;
    assert.deepEqual({ policy, by, counted, failed, cancelled, missing },
        { policy: 'settled', by: 'settled', counted: 1, failed: 1, cancelled: 0, missing: 1 });
});

test('--json prints the run also when it failed, and exits 1', limit, async (t) => {
    const home = place(t);
    const result = await run(t, home, ['run', home.file('w.json', failing), '--json']);
    assert.equal(result.code, 1);
    const got = parseRun(result);
    assert.equal(got.status, 'failed');
    assert.equal(got.error.code, 'bad_request');
    assert.equal(got.error.step, 'a');
    assert.equal(got.output, null);
});

test('--quiet leaves stderr empty', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { llm: { model: 'sim/echo', prompt: 'Hello' } } } });
    const result = await run(t, home, ['run', file, '--quiet']);
    assert.equal(result.err, '');
    assert.equal(result.out, '"[simulated] Hello"\n');
    assert.equal((await run(t, home, ['run', '-q', file])).err, '');
});

test('-i takes each value by the type its schema gives', limit, async (t) => {
    const args = ['name=12', 'count=5', 'ratio=0.5', 'flag=true', 'list=[1,"two"]', 'thing={"a":{"b":null}}'];
    assert.deepEqual(await inputOf(t, typed, args.flatMap((word) => ['-i', word])),
        { name: '12', count: 5, ratio: 0.5, flag: true, list: [1, 'two'], thing: { a: { b: null } } });
});

test('-i without a schema is JSON where it is JSON, else text', limit, async (t) => {
    const args = ['-i', 'a=1', '-i', 'b=x y', '-i', 'c={"k":[]}', '-i', 'd=', '-i', 'e=null', '-i', 'f=a=b', '-ig=short', '--set', 'h=long'];
    assert.deepEqual(await inputOf(t, echoInput, args),
        { a: 1, b: 'x y', c: { k: [] }, d: '', e: null, f: 'a=b', g: 'short', h: 'long' });
});

test('-i K=@FILE reads .json as JSON, .jsonl as a list and anything else as text', limit, async (t) => {
    const home = place(t);
    home.file('v.json', '{"deep": [1, 2.50, 12345678901234567890]}\n');
    home.file('v.jsonl', '{"n":1}\n\n[2]\r\n"three"');
    home.file('v.txt', 'line one\nline "two"\n');
    const result = await run(t, home, ['run', home.file('w.json', echoInput), '-i', 'j=@v.json', '-i', 'l=@v.jsonl', '-i', 't=@v.txt']);
    assert.equal(result.code, 0, result.err);
    const got = JSON.parse(result.out);
    assert.deepEqual(got.l, [{ n: 1 }, [2], 'three']);
    assert.equal(got.t, 'line one\nline "two"\n');
    assert.match(result.out, /12345678901234567890/, 'a long integer keeps its digits');
});

test('--input takes JSON, a file or stdin, and -i wins over it member by member', limit, async (t) => {
    const home = place(t);
    home.file('in.json', '{"a": 1, "b": 2}');
    assert.deepEqual(await inputOf(t, echoInput, ['--input', '{"a": 1, "b": {"c": 3}}']), { a: 1, b: { c: 3 } });
    assert.deepEqual(await inputOf(t, echoInput, ['--input', '@in.json', '-i', 'b=x', '-i', 'b=y'], { home }), { a: 1, b: 'y' });
    assert.deepEqual(await inputOf(t, echoInput, ['--input', '-'], { input: '{"from": "stdin"}' }), { from: 'stdin' });
    assert.deepEqual(await inputOf(t, { steps: { a: { reduce: '${ .input }' } } }, ['--input=[1,2]']), [1, 2]);
});

test('defaults of the input schema are filled in, and -i may override them', limit, async (t) => {
    assert.deepEqual(await inputOf(t, typed, ['-i', 'name=x']), { name: 'x', count: 3 });
    assert.deepEqual(await inputOf(t, typed, ['-i', 'name=x', '-i', 'count=9']), { name: 'x', count: 9 });
});

test('input that does not fit the schema exits 2 and names each place', limit, async (t) => {
    const home = place(t);
    const result = await run(t, home, ['run', home.file('w.json', typed), '-i', 'name=', '-i', 'count=1.5']);
    assert.equal(result.code, 2);
    assert.equal(result.out, '');
    assert.match(result.err, /input\/name: /);
    assert.match(result.err, /input\/count: /);
    const missing = await run(t, home, ['run', home.path('w.json')]);
    assert.equal(missing.code, 2);
    assert.match(missing.err, /name/);
});

test('input that cannot be read exits 2 with what is wrong', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', typed);
    home.file('bad.json', '{"a": }');
    home.file('bad.jsonl', '1\n{]\n');
    for (const [args, says] of [
        [['-i', 'count=many'], /count=many.*integer/],
        [['-i', 'noequals'], /KEY=VALUE/],
        [['-i', '=x'], /KEY=VALUE/],
        [['-i', 'name=@missing.txt'], /missing\.txt.*No such file/],
        [['-i', 'thing=@bad.json'], /bad\.json/],
        [['-i', 'list=@bad.jsonl'], /bad\.jsonl:2/],
        [['--input', '{"name": "x",}'], /--input/],
        [['--input', '[1]', '-i', 'name=x'], /no object/],
        [['--input', '{"name":"x","name":"y"}'], /--input.*name/],
    ]) {
        const result = await run(t, home, ['run', file, ...args]);
        assert.equal(result.code, 2, `${args}: ${result.err}`);
        assert.match(result.err, says, String(args));
        assert.equal(result.out, '');
    }
});

test('options may come from PLAIT_ variables, and a flag wins over its variable', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { llm: { model: 'openai/none', prompt: '${ .input.k }' } } } });
    const env = { PLAIT_MODEL: 'sim/echo', PLAIT_INPUT: '{"k": "from the environment"}', PLAIT_QUIET: '1' };
    const result = await run(t, home, ['run', file], { env });
    assert.equal(result.code, 0, result.err);
    assert.equal(result.out, '"[simulated] from the environment"\n');
    assert.equal(result.err, '');
    const flag = await run(t, home, ['run', file, '--input', '{"k": "flag"}', '--model', 'sim/echo?text=mine'], { env });
    assert.equal(flag.out, '"mine"\n');
    const database = await run(t, home, ['run', file], { env: { ...env, PLAIT_DB: 'sqlite:mine.db' } });
    assert.equal(database.code, 0, database.err);
    assert.ok(fs.existsSync(home.path('mine.db')));
});

test('a flag whose variable says 0 or false is off', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { llm: { model: 'sim/echo', prompt: 'x' } } } });
    for (const word of ['0', 'false', '']) {
        const result = await run(t, home, ['run', file], { env: { PLAIT_JSON: word, PLAIT_QUIET: word } });
        assert.equal(result.out, '"[simulated] x"\n', word);
        assert.match(result.err, /^run run_/m, word);
    }
});

test('--model stands in for every model of the workflow, also where none is configured', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', {
        defaults: { model: 'openai/gpt-4o-mini' },
        steps: { a: { llm: { prompt: 'x' } }, b: { llm: { model: 'mistral/large', prompt: 'y' } } },
    });
    const result = await run(t, home, ['run', file, '--model', 'sim/echo', '--json']);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    assert.equal(got.step.a.model, 'sim/echo');
    assert.equal(got.step.b.model, 'sim/echo');
});

test('a model without a provider exits 2 before anything runs and says what to set', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { llm: { model: 'openai/gpt-4o-mini', prompt: 'x' } } } });
    const result = await run(t, home, ['run', file]);
    assert.equal(result.code, 2);
    assert.match(result.err, /\/steps\/a\/llm\/model: .*OPENAI_API_KEY/);
    assert.match(result.err, /sim\/echo/);
    const wrong = await run(t, home, ['run', file, '--model', 'sim/echo?latncy=1s']);
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /latency/);
});

test('a wrong command line exits 2 and names what is nearest', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', echoInput);
    for (const [args, says] of [
        [[], /Usage: plait COMMAND/],
        [['rnu', file], /did you mean 'run'/],
        [['frobnicate'], /no command 'frobnicate'.*--help/],
        [['run'], /FILE is missing/],
        [['run', file, '--modle', 'x'], /no option --modle; did you mean --model\?/],
        [['run', file, '--zzz'], /no option --zzz.*--help/],
        [['run', file, '-z'], /no option -z/],
        [['run', file, '--db'], /--db needs a value/],
        [['run', file, '--json=yes'], /--json takes no value/],
        [['run', file, 'second.json'], /one operand too many: second\.json/],
        [['run', file, '--loops', '0'], /--loops 0: /],
        [['run', file, '--loops', 'two'], /--loops two: /],
        [['run', file, '--drain', 'soon'], /--drain soon: /],
        [['run', file, '--log-level', 'loud'], /--log-level loud: .*debug/],
        [['run', '--resume', 'not-an-id'], /not-an-id.*no run id/],
        [['check'], /FILE\.\.\. is missing/],
        [['graph', file, '--format', 'svg'], /no format 'svg'; one of mermaid, dot, json/],
        [['version', 'x'], /one operand too many/],
    ]) {
        const result = await run(t, home, args);
        assert.equal(result.code, 2, `plait ${args.join(' ')}: ${result.err}`);
        assert.match(result.err, says);
        assert.equal(result.out, '');
    }
});

test('a file that is missing, a folder, unreadable or no text exits 2 and says so', limit, async (t) => {
    const home = place(t);
    fs.mkdirSync(home.path('folder'));
    home.file('binary.yaml', Buffer.from([0, 1, 2, 0xff, 0xfe]));
    home.file('latin1.yaml', Buffer.from('steps: {a: {reduce: "caf\xe9"}}', 'latin1'));
    home.file('secret.yaml', 'steps: {}');
    fs.chmodSync(home.path('secret.yaml'), 0);
    const cases = [['missing.yaml', /missing\.yaml.*No such file/], ['folder', /folder.*Is a directory/],
        ['binary.yaml', /binary\.yaml:1:1/], ['latin1.yaml', /latin1\.yaml:1:\d+.*UTF-8/i]];
    if (process.getuid() !== 0) cases.push(['secret.yaml', /secret\.yaml.*Permission denied/]);
    for (const [name, says] of cases) {
        const result = await run(t, home, ['run', name]);
        assert.equal(result.code, 2, `${name}: ${result.err}`);
        assert.match(result.err, says);
    }
});

test('a workflow may come from stdin', limit, async (t) => {
    const result = await run(t, place(t), ['run', '-', '-i', 'k=v'], { input: 'steps:\n  a: {reduce: "${ .input.k }"}\n' });
    assert.equal(result.code, 0, result.err);
    assert.equal(result.out, '"v"\n');
});

test('every command has a help with an example, on stdout, exit 0', limit, async (t) => {
    const home = place(t);
    const all = await run(t, home, ['--help']);
    assert.equal(all.code, 0);
    assert.equal(all.err, '');
    for (const command of ['run', 'check', 'graph', 'version']) {
        assert.match(all.out, new RegExp(`^  ${command} `, 'm'));
        for (const flag of ['--help', '-h']) {
            const result = await run(t, home, [command, flag]);
            assert.equal(result.code, 0);
            assert.equal(result.err, '');
            assert.match(result.out, new RegExp(`^Usage: plait ${command}`));
            assert.match(result.out, new RegExp(`^Example:\\n  plait ${command}`, 'm'));
        }
    }
    const options = (await run(t, home, ['run', '--help'])).out;
    for (const name of ['set', 'input', 'thread', 'db', 'resume', 'json', 'quiet', 'config', 'model', 'drain'])
        assert.match(options, new RegExp(`--${name}\\b`));
});

test('text of any script goes through unharmed', limit, async (t) => {
    const text = 'Grüße, 東京 🗼 \u202eabc\u202c \u0001 "quoted" \\ \u{10ffff}';
    const home = place(t);
    home.file('in.json', { k: text });
    const result = await run(t, home, ['run', home.file('w.json', { steps: { ä: 1 } })]);
    assert.equal(result.code, 2, 'ids stay plain');
    const file = home.file('v.json', { description: 'Ünïcode', steps: { a: { llm: { model: 'sim/echo', prompt: '${ .input.k }' } } } });
    const got = await run(t, home, ['run', file, '--input', '@in.json']);
    assert.equal(got.code, 0, got.err);
    assert.equal(JSON.parse(got.out), `[simulated] ${text}`);
    const name = home.file('wörk flow 東.json', echoInput);
    assert.equal((await run(t, home, ['run', name, '-i', 'ключ=値'])).out, '{"ключ":"値"}\n');
});

test('numbers keep their digits from input to output', limit, async (t) => {
    const home = place(t);
    const numbers = '{"a":12345678901234567890123,"b":1.10,"c":-0.0,"d":1e400,"e":9007199254740993}';
    const result = await run(t, home, ['run', home.file('w.json', echoInput), '--input', numbers]);
    assert.equal(result.code, 0, result.err);
    assert.equal(result.out.trim(), numbers);
});

test('two runs at once in two terminals do not meet', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const file = home.file('w.json', once({ a: ask('mock-500ms', '${ .input.who }') }));
    const both = ['one', 'two'].map((who) => plait(t, home, ['run', file, '-i', `who=${who}`], { env: model.env }));
    await model.inFlight(2);
    const [one, two] = await Promise.all(both.map((each) => each.done));
    assert.equal(one.code, 0, one.err);
    assert.equal(two.code, 0, two.err);
    assert.match(one.out, /one"\n$/);
    assert.match(two.out, /two"\n$/);
    assert.equal(fs.readdirSync(home.runs).filter((name) => name.endsWith('.db')).length, 2);
});

test('a second engine on one --db is refused and says who holds it', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const file = home.file('w.json', once({ a: ask('mock-hang', 'x') }));
    const first = plait(t, home, ['run', file, '--db', 'sqlite:shared.db'], { env: model.env });
    await model.inFlight(1);
    const second = await run(t, home, ['run', file, '--db', 'sqlite:shared.db'], { env: model.env });
    assert.equal(second.code, 2, second.err);
    assert.match(second.err, new RegExp(`another engine, process ${first.pid},`));
    assert.equal((await model.stats()).calls, 1);
    first.kill();
    await first.done;
    const third = plait(t, home, ['run', file, '--db', 'sqlite:shared.db'], { env: model.env });
    await until(async () => (await model.stats()).calls >= 2, 'the lock to be free after a kill');
    third.kill();
});

test('runs of one --db stay in it, and a later run finishes those left over', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const slow = home.file('slow.json', once({ a: ask('mock-700ms', 'left over') }));
    const first = plait(t, home, ['run', slow, '--db', 'sqlite:all.db'], { env: model.env });
    await first.said(/^run run_\w+$/m);
    await model.inFlight(1);
    first.kill();
    await first.done;
    const quick = home.file('quick.json', once({ a: ask('mock', 'quick') }));
    const second = await run(t, home, ['run', quick, '--db', 'sqlite:all.db'], { env: model.env });
    assert.equal(second.code, 0, second.err);
    const id = first.err().match(/run_\w+/)[0];
    const over = await run(t, home, ['run', '--resume', id, '--db', 'sqlite:all.db'], { env: model.env });
    assert.equal(over.code, 0, over.err);
    assert.match(over.err, /is over: it succeeded/);
    assert.match(over.out, / left over"$/m);
    assert.equal(fs.existsSync(home.runs), false, 'nothing is kept in the state folder');
});

test('without --db a run never takes up what other runs left', limit, async (t) => {
    const home = place(t);
    const model = await startModel(t);
    const slow = home.file('slow.json', once({ a: ask('mock-hang', 'left over') }));
    const first = plait(t, home, ['run', slow], { env: model.env });
    await model.inFlight(1);
    await first.said(/^run run_\w+$/m);
    first.kill();
    await first.done;
    const quick = home.file('quick.json', once({ a: ask('mock', 'quick') }));
    assert.equal((await run(t, home, ['run', quick], { env: model.env })).code, 0);
    assert.deepEqual((await model.allCalls()).map((call) => call.prompt), ['left over', 'quick']);
});

test('a database that cannot be used exits 2 and says why', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', echoInput);
    home.file('text.db', 'this is no database at all, but a text that is long enough to have a header\n'.repeat(20));
    fs.mkdirSync(home.path('folder.db'));
    const foreign = home.path('foreign.db');
    const { execFileSync } = await import('node:child_process');
    execFileSync('sqlite3', [foreign, 'CREATE TABLE mine(x); INSERT INTO mine VALUES(1);']);
    const before = fs.readFileSync(foreign);
    for (const [url, says] of [
        ['sqlite:/nonexistent/folder/x.db', /nonexistent.*No such file/],
        ['sqlite:text.db', /text\.db/],
        ['sqlite:foreign.db', /foreign\.db.*(not|no).*Plait/i],
        ['sqlite:folder.db', /folder\.db/],
        ['sqlite://host/x.db', /sqlite:PATH/],
        ['postgres://host/db', /PostgreSQL.*sqlite:/],
        ['x.db', /sqlite:/],
        ['sqlite:', /sqlite:/],
    ]) {
        const result = await run(t, home, ['run', file, '--db', url]);
        assert.equal(result.code, 2, `${url}: ${result.code} ${result.err}`);
        assert.match(result.err, says, url);
        assert.equal(result.out, '');
    }
    assert.deepEqual(fs.readFileSync(foreign), before, 'a foreign file stays as it was');
});

test('a database nobody may write to exits 2', { ...limit, skip: process.getuid() === 0 && 'root may write everywhere' }, async (t) => {
    const home = place(t);
    fs.mkdirSync(home.path('locked'));
    fs.chmodSync(home.path('locked'), 0o500);
    const result = await run(t, home, ['run', home.file('w.json', echoInput), '--db', 'sqlite:locked/x.db']);
    assert.equal(result.code, 2);
    assert.match(result.err, /locked.*Permission denied/);
});

test('a full disk is told, not hung upon', limit, async (t) => {
    const home = place(t);
    const result = await run(t, home, ['run', home.file('w.json', echoInput), '--db', 'sqlite:/dev/full']);
    assert.notEqual(result.code, 0);
    assert.match(result.err, /\/dev\/full/);
});

test('without HOME and XDG_STATE_HOME plait asks for --db, and runs with it', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', echoInput);
    const env = { HOME: undefined, XDG_STATE_HOME: undefined };
    const result = await run(t, home, ['run', file], { env });
    assert.equal(result.code, 2);
    assert.match(result.err, /HOME.*--db/);
    assert.equal((await run(t, home, ['run', file, '--db', 'sqlite:here.db'], { env })).code, 0);
    const fallback = await run(t, home, ['run', file], { env: { XDG_STATE_HOME: undefined } });
    assert.equal(fallback.code, 0, fallback.err);
    assert.ok(fs.readdirSync(home.path('.local/state/plait/runs')).length > 0);
    fs.writeFileSync(home.path('plain'), '');
    const blocked = await run(t, home, ['run', file], { env: { XDG_STATE_HOME: home.path('plain') } });
    assert.equal(blocked.code, 2);
    assert.match(blocked.err, /plain/);
});

test('what is kept of a run is for its owner only', limit, async (t) => {
    const home = place(t);
    assert.equal((await run(t, home, ['run', home.file('w.json', echoInput)])).code, 0);
    assert.equal(fs.statSync(home.runs).mode & 0o777, 0o700);
    for (const name of fs.readdirSync(home.runs))
        assert.equal(fs.statSync(path.join(home.runs, name)).mode & 0o077, 0, name);
});

test('an unknown run cannot be resumed, and the message says where it was looked for', limit, async (t) => {
    const home = place(t);
    const done = await run(t, home, ['run', home.file('w.json', echoInput)]);
    const id = done.err.match(/run_\w+/)[0];
    const last = id.endsWith('0') ? '1' : '0';
    const unknown = await run(t, home, ['run', '--resume', id.slice(0, -1) + last]);
    assert.equal(unknown.code, 2);
    assert.match(unknown.err, /there is no run .*--db/);
});

test('resuming a run that is over gives its result once more', limit, async (t) => {
    const home = place(t);
    const good = await run(t, home, ['run', home.file('w.json', echoInput), '-i', 'k=v']);
    const [id] = good.err.match(/run_\w+/);
    const again = await run(t, home, ['run', '--resume', id]);
    assert.equal(again.code, 0, again.err);
    assert.equal(again.out, '{"k":"v"}\n');
    assert.match(again.err, new RegExp(`^run ${id} is over: it succeeded$`, 'm'));
    assert.equal(parseRun(await run(t, home, ['run', '--resume', id, '--json', '--quiet'])).id, id);
    const bad = await run(t, home, ['run', home.file('f.json', failing)]);
    const badAgain = await run(t, home, ['run', '--resume', bad.err.match(/run_\w+/)[0]]);
    assert.equal(badAgain.code, 1);
    assert.match(badAgain.err, /the run failed at step a: bad_request/);
});

test('the default output is that of the last step, or of all of them by id', limit, async (t) => {
    assert.equal(await inputOf(t, { steps: { a: { reduce: 1 }, b: { reduce: '${ .steps.a.output }' } } }, []), 1);
    assert.deepEqual(await inputOf(t, { steps: { a: { reduce: 1 }, b: { reduce: [2] } } }, []), { a: 1, b: [2] });
});

test('an output that does not fit output_schema fails the run', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { output_schema: { type: 'integer' }, steps: { a: { reduce: 'text' } } });
    const result = await run(t, home, ['run', file, '--json']);
    assert.equal(result.code, 1);
    assert.equal(parseRun(result).error.code, 'invalid_output');
    assert.match(parseRun(result).error.detail, /^the output does not fit output_schema: expected an integer, got a string$/);
});

test('an expression that fails, fails its step with expression_error', limit, async (t) => {
    const home = place(t);
    const file = home.file('w.json', { steps: { a: { reduce: '${ .input.text.member }' } } });
    const result = await run(t, home, ['run', file, '--json', '-i', 'text=plain']);
    assert.equal(result.code, 1);
    assert.equal(parseRun(result).step.a.error.code, 'expression_error');
});

test('a run of a thousand branches comes out whole', limit, async (t) => {
    const home = place(t);
    const branches = Object.fromEntries(Array.from({ length: SLOW ? 200 : 1000 }, (_, i) => [`b${i}`, { llm: { model: 'sim/echo?latency=20ms', prompt: `n ${i}` } }]));
    const file = home.file('w.json', { steps: { fan: { parallel: { branches } } } });
    const result = await run(t, home, ['run', file, '--json']);
    assert.equal(result.code, 0, result.err);
    const got = parseRun(result);
    for (const id of Object.keys(branches)) assert.equal(got.output[id], `[simulated] n ${id.slice(1)}`);
    assert.equal(got.progress.succeeded, Object.keys(branches).length + 1);
});

test('stdout that is closed does not hang the run', limit, async (t) => {
    const home = place(t);
    const process = plait(t, home, ['run', home.file('w.json', { steps: { a: { llm: { model: 'sim/echo?latency=100ms', prompt: 'x' } } } })]);
    process.child.stdout.destroy();
    const result = await process.done;
    assert.equal(result.signal, null);
});
