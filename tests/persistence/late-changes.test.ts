// Every statement that changes what is summed up writes a late change.
import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const src = new URL('../../src/', import.meta.url).pathname;
/** What sums are made of; a change of anything else does not concern them. */
const SUMMED = /\b(status|duration_ms|http_status|error_code)\s*=(?!=)/;
const WRITERS = /(?:update|insert into)\s+deliveries\b([\s\S]*?)(?:\bfrom\b|\bwhere\b|\breturning\b|\bselect\b|`)/g;

const writers = globSync('**/*.ts', { cwd: src }).flatMap((path) => {
  const text = readFileSync(`${src}${path}`, 'utf8');
  const summed = [...text.matchAll(WRITERS)].filter(
    ([statement, assignments]) =>
      statement.startsWith('insert') || SUMMED.test(assignments ?? '') || /\$\{(endCancelled\(|putOnHold\})/.test(statement),
  );
  const made = text.includes('.create(Delivery,');
  return summed.length > 0 || made ? [{ path, text }] : [];
});

test('the statements that write a status are those that are known', () => {
  expect(writers.map(({ path }) => path.slice(path.lastIndexOf('/') + 1)).toSorted((a, b) => a.localeCompare(b))).toEqual([
    'cancel-deliveries.ts',
    'cancel-delivery.ts',
    'expire-deliveries.ts',
    'expire-held.ts',
    'hold-deliveries.ts',
    'insert-events.ts',
    'record-first-successes.ts',
    'record-outcomes.ts',
    'release-step.ts',
    'replay-step.ts',
    'retry-delivery.ts',
    'supersede-deliveries.ts',
    'test-webhook.ts',
  ]);
});

test.each(writers)('$path writes a late change in the same statement', ({ text }) => {
  expect(text).toMatch(/\$\{note(Changes|Inserts)\(|execute\(noteInsert,/);
});

test('nothing changes a delivery without a statement: no entity is assigned to', () => {
  const assigned = /\bdelivery\.\w+ = |native(Update|Insert)\(Delivery\b|assign\(delivery\b/;
  expect(globSync('**/*.ts', { cwd: src }).filter((path) => assigned.test(readFileSync(`${src}${path}`, 'utf8')))).toEqual([]);
});
