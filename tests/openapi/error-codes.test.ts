// The document gives each reason the code, and so the status, that the service answers it with.
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { codes } from '../../src/transport/openapi/errors.ts';

const folder = fileURLToPath(new URL('../../src/', import.meta.url));

test('a reason is documented with the code that it is thrown with, everywhere', () => {
  const thrown = globSync('**/*.ts', { cwd: folder }).flatMap((path) => {
    const text = readFileSync(folder + path, 'utf8');
    return [...text.matchAll(/new ServiceError\(\s*'([a-z_]+)',\s*'([a-z_]+)'/g)].map(([, code = '', reason = '']) => ({
      path,
      reason,
      code,
    }));
  });
  expect(thrown.filter(({ reason, code }) => Object.entries(codes).find(([name]) => name === reason)?.[1] !== code)).toEqual(
    [],
  );
  expect(thrown.length).toBeGreaterThan(20);
});
