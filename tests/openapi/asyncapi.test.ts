// The AsyncAPI document: up to date, complete in itself, and with examples that keep their own schemas.
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, test } from 'vitest';
import { eventTypes } from '../../src/domain/event-types.ts';
import { asyncApiDocument } from '../../src/tools/openapi/asyncapi.ts';

interface Message {
  readonly name: string;
  readonly payload: object;
  readonly examples: readonly { readonly payload: unknown }[];
}

const text = readFileSync(new URL('../../gen/asyncapi.json', import.meta.url), 'utf8');
const document = JSON.parse(text) as {
  asyncapi: string;
  info: { version: string };
  components: { messages: Record<string, Message>; schemas: Record<string, object> };
};

test('the committed document is the one that the catalogue makes (`npm run openapi` writes it)', () => {
  expect(JSON.parse(JSON.stringify(asyncApiDocument(document.info.version)))).toEqual(document);
  expect(document.asyncapi).toBe('3.0.0');
});

test('every documented event type is a message', () => {
  expect(Object.values(document.components.messages).map(({ name }) => name)).toEqual(eventTypes.map(({ name }) => name));
});

test('every reference leads somewhere', () => {
  const references = [...text.matchAll(/"\$ref": "#\/([^"]+)"/g)].map((match) => match[1] ?? '');
  expect(references.length).toBeGreaterThan(3 * eventTypes.length);
  for (const reference of references) {
    const found = reference.split('/').reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], document);
    expect([reference, typeof found]).toEqual([reference, 'object']);
  }
});

test.each(Object.values(document.components.messages))('the example of $name keeps its schema', ({ payload, examples }) => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const validate = ajv.compile({ components: document.components, ...payload });
  for (const example of examples) {
    void validate(example.payload);
    expect(validate.errors).toBeNull();
  }
});
