// workflows.mjs - the workflows that tests send, and what a run that came over HTTP must be. Used by tests/http/*.test.mjs.
import assert from 'node:assert/strict';
import { ask, checkRunAlone, checkStep } from '../../cli/support/run.mjs';

export { ask, checkStep };

// The travel plan on stand-in models: three at once, then one.
export function travel(model = 'mock-200ms') {
    return {
        name: 'travel-plan',
        input: {
            type: 'object',
            required: ['destination'],
            properties: { destination: { type: 'string', minLength: 1 }, days: { type: 'integer', minimum: 1, default: 3 } },
        },
        defaults: { model: `openai/${model}`, retry: { attempts: 3, initial: '50ms' } },
        steps: {
            attractions: { llm: { prompt: 'Best sights of ${ .input.destination } in ${ .input.days } days.' } },
            hotels: { llm: { prompt: 'Where to stay in ${ .input.destination }.' } },
            transport: { llm: { prompt: 'Getting around ${ .input.destination }.' } },
            plan: { llm: { prompt: '${ .steps.attractions.output }\n${ .steps.hotels.output }\n${ .steps.transport.output }' } },
        },
        output: '${ .steps.plan.output }',
    };
}

// So many branches of a parallel; `modelOf(i)` names the stand-in model of each, its prompt is `label i`.
export function fan(count, modelOf, { label = 'branch', join, ...more } = {}) {
    const branches = {};
    for (let i = 0; i < count; i++) branches[`b${i}`] = ask(modelOf(i), `${label} ${i}`);
    return {
        name: 'fan',
        defaults: { retry: { attempts: 3, initial: '50ms' } },
        steps: { fan: { parallel: { branches }, ...(join ? { join } : {}) } },
        output: '${ .steps.fan.output }',
        ...more,
    };
}

// One step on the built-in simulated provider.
export const echo = (options = '', prompt = 'hello') => ({ name: 'echo', steps: { say: { llm: { model: `sim/echo${options}`, prompt } } } });

// A run over HTTP is the run of `--json` without its steps.
export function checkHttpRun(run) {
    assert.ok(!('steps' in run), 'a run over HTTP has no steps in it');
    checkRunAlone(run);
    return run;
}
