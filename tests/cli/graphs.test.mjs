// graphs.test.mjs - well-known graphs of LangGraph, written as workflows (examples/ported), against a model that plays their parts.
// Not the examples (examples.test.mjs).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { startActor } from './support/actor.mjs';
import { limit, place, run, sleep, top } from './support/plait.mjs';
import { parseRun } from './support/run.mjs';

const folder = path.join(top, 'examples/ported');

async function graph(t, name, input, play) {
    const home = place(t);
    const model = await startActor(t, play);
    const args = ['run', path.join(folder, `${name}.yaml`), '--json', '--input', JSON.stringify(input)];
    const result = await run(t, home, args, { env: model.env });
    assert.equal(result.code, 0, result.err);
    return { ...parseRun(result), requests: model.requests() };
}

test('all of them are valid and can be drawn', limit, async (t) => {
    const home = place(t);
    const files = fs.readdirSync(folder).filter((name) => name.endsWith('.yaml')).map((name) => path.join(folder, name));
    const checked = await run(t, home, ['check', ...files]);
    assert.equal(checked.code, 0, checked.err + checked.out);
    for (const file of files)
        for (const format of ['mermaid', 'dot', 'json']) {
            const drawn = await run(t, home, ['graph', file, '--format', format]);
            assert.equal(drawn.code, 0, `${file}: ${drawn.err}`);
            assert.ok(drawn.out.length > 50, drawn.out);
        }
});

test('map-reduce with Send: subjects at once, jokes in their order, the best by number', limit, async (t) => {
    const subjects = ['lions', 'elephants', 'penguins'];
    const got = await graph(t, 'map-reduce', { topic: 'animals' }, async ({ last }) => {
        if (last.content.startsWith('Generate a comma')) return { subjects };
        const [, subject] = last.content.match(/^Generate a joke about (\w+)\.$/) ?? [];
        if (!subject) return { id: 1 };
        await sleep(60 - 20 * subjects.indexOf(subject)); // the last subject's joke comes first
        return { joke: `a joke about ${subject}` };
    });
    assert.deepEqual(got.output, {
        jokes: ['a joke about lions', 'a joke about elephants', 'a joke about penguins'],
        best_selected_joke: 'a joke about elephants',
    });
    assert.equal(got.requests.length, 5);
    assert.match(got.requests.at(-1).messages.at(-1).content, /0\.\na joke about lions\na joke about elephants\na joke about penguins$/m);
    assert.deepEqual(Object.keys(got.step).sort(), ['best_joke', 'generate_joke', 'generate_joke.0', 'generate_joke.1', 'generate_joke.2', 'generate_topics']);
});

test('reflection: three essays, two critiques, each seeing what came before', limit, async (t) => {
    const got = await graph(t, 'reflection', { request: 'Why is The Little Prince relevant?' }, ({ system, messages }) => {
        const said = messages.length - 1;
        return system.startsWith('You are an essay') ? `essay after ${said}` : `critique after ${said}`;
    });
    assert.equal(got.output.essay, 'essay after 5');
    assert.deepEqual(got.output.messages, [
        { role: 'user', content: 'Why is The Little Prince relevant?' },
        { role: 'assistant', content: 'essay after 1' },
        { role: 'user', content: 'critique after 2' },
        { role: 'assistant', content: 'essay after 3' },
        { role: 'user', content: 'critique after 4' },
        { role: 'assistant', content: 'essay after 5' },
    ]);
    const critic = got.requests.filter(({ messages }) => messages[0].content.startsWith('You are a teacher'));
    assert.deepEqual(critic[1].messages.slice(1).map(({ role }) => role), ['user', 'user', 'assistant', 'user'], 'the roles are swapped');
    assert.equal(got.step['essays.2.reflect'].status, 'skipped');
});

test('supervisor: agents with tools act in turn until it says FINISH', limit, async (t) => {
    const got = await graph(t, 'supervisor', { question: 'The sum of the GDP of two states?' }, ({ system, messages, last, tools }) => {
        if (system.startsWith('You are a supervisor')) {
            const from = last.content.match(/^(researcher|coder): /)?.[1];
            return { next: { undefined: 'researcher', researcher: 'coder', coder: 'FINISH' }[from] };
        }
        if (last.role === 'tool') return `the answer is ${messages.filter(({ role }) => role === 'tool').map(({ content }) => content).join(', ')}`;
        return tools.includes('search') ? { call: { search: { query: 'gdp' } } } : { call: { add: { numbers: [3.5, 2.5] } } };
    });
    assert.equal(got.output.turns, 2);
    assert.deepEqual(got.output.messages.map(({ content }) => content), [
        'The sum of the GDP of two states?', 'researcher: the answer is found gdp', 'coder: the answer is 6',
    ]);
    const status = (id) => [0, 1, 2].map((turn) => got.step[`team.${turn}.${id}`].status);
    assert.deepEqual(status('researcher'), ['succeeded', 'skipped', 'skipped']);
    assert.deepEqual(status('coder'), ['skipped', 'succeeded', 'skipped']);
    assert.equal(got.requests.length, 3 + 2 + 2);
});

test('plan-and-execute: each step by an agent, a new plan after each, an answer in the end', limit, async (t) => {
    const got = await graph(t, 'plan-and-execute', { objective: 'Where was the winner born?' }, ({ system, messages, last }) => {
        if (system.startsWith('Make')) return { steps: ['find the winner', 'find the birthplace'] };
        if (system.startsWith('Update')) return last.content.includes('found birthplace') ? { response: 'In Lisbon.' } : { steps: ['find the birthplace'] };
        if (last.role === 'tool') return last.content;
        return { call: { search: { q: messages.at(-1).content.endsWith('find the winner') ? 'winner' : 'birthplace' } } };
    });
    assert.deepEqual(got.output, {
        response: 'In Lisbon.',
        past_steps: [['find the winner', 'found winner'], ['find the birthplace', 'found birthplace']],
    });
    assert.match(got.step['work.1.execute'].output, /found birthplace/);
    assert.equal(got.requests.length, 1 + 2 * 3);
});

test('branching: one list in the order of writing, whatever ended first', limit, async (t) => {
    const got = await graph(t, 'branching', {}, () => assert.fail('no model is called'));
    assert.deepEqual(got.output, ["I'm A", "I'm B", "I'm B2", "I'm C", "I'm D"]);
    assert.ok(Date.parse(got.step.c.ended_at) < Date.parse(got.step.b2.ended_at));
});

test('sub-graphs: each with its own input, what it gives is all that is seen', limit, async (t) => {
    const logs = [
        { id: '1', question: 'why?', answer: 'because', grade: 0 },
        { id: '2', question: 'how?', answer: 'thus', grade: 1 },
        { id: '3', question: 'who?', answer: 'me' },
    ];
    const got = await graph(t, 'sub-graphs', { logs }, ({ last }) => `<${last.content}>`);
    assert.deepEqual(got.output.failures, ['1']);
    assert.match(got.output.failure_report, /^<What failed in these logs\? \[\{"id":"1".*\}\]>$/);
    assert.equal(got.output.summary_report, '<Turn this into a report: <Summarise these questions: ["why?","how?","who?"]>>');
});

test('reducers: messages, sums, sets and one of its own, the same whatever ends first', limit, async (t) => {
    for (const slow of ['One', 'Another']) {
        const got = await graph(t, 'reducers', { text: 'tea' }, async ({ last }) => {
            if (last.content.startsWith(slow)) await sleep(60);
            return last.content.split(' ')[0];
        });
        assert.deepEqual(got.output, {
            messages: [
                { role: 'user', content: 'tea' },
                { role: 'assistant', content: 'One' },
                { role: 'assistant', content: 'Another' },
            ],
            count: 2,
            seen: ['a', 'b', 'c'],
            longest: 'much longer',
        });
    }
});

async function reviewed(t, answers) {
    const home = place(t);
    const model = await startActor(t, ({ last }) => `<${last.content}>`);
    const args = ['run', path.join(folder, 'human-in-the-loop.yaml'), '--json', '-i', 'topic=bees'];
    for (const [at, answer] of Object.entries(answers)) args.push('--answer', `${at}=${JSON.stringify(answer)}`);
    const result = await run(t, home, args, { env: model.env });
    assert.equal(result.code, 0, result.err);
    return { ...parseRun(result), requests: model.requests() };
}

test('human in the loop: two questions wait at once, and what was drafted is not drafted again', limit, async (t) => {
    const yes = await reviewed(t, { facts: 'approve', style: { edit: 'Shorter.' } });
    assert.deepEqual(yes.output, { facts: 'approve', text: '<Change <Write about bees.> as asked: Shorter.>' });
    assert.equal(yes.requests.length, 2);
    const no = await reviewed(t, { facts: 'reject', style: { edit: 'Shorter.' } });
    assert.deepEqual(no.output, { facts: 'reject', text: null });
    assert.equal(no.requests.length, 1);
});

test('memory: a thread remembers, another one does not know', limit, async (t) => {
    const home = place(t);
    const model = await startActor(t, ({ messages }) => `after ${messages.length}`);
    const say = async (message, thread) => {
        const args = ['run', path.join(folder, 'memory.yaml'), '--json', '-i', `message=${message}`, '--thread', thread];
        const result = await run(t, home, args, { env: model.env });
        assert.equal(result.code, 0, result.err);
        return parseRun(result).output;
    };
    assert.equal((await say('Hi, I am Bob.', 'one')).reply, 'after 1');
    assert.equal((await say('Hello.', 'two')).reply, 'after 1');
    const back = await say('What is my name?', 'one');
    assert.equal(back.reply, 'after 3');
    assert.equal(back.messages.length, 4);
    assert.equal(back.messages[0].content, 'Hi, I am Bob.');
});
