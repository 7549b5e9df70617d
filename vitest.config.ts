// How the tests run: one PostgreSQL and one Redis for the run, a database of its own for each file that asks. `npm run test:unit` runs the
// files that need neither.
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { unitTests } from './tests/fixtures/unit-tests.ts';

const isUnitOnly = process.env['TESTS'] === 'unit';

export default defineConfig({
  test: {
    include: isUnitOnly ? unitTests(import.meta.dirname) : ['tests/**/*.test.ts'],
    // Fetches compilers' libraries, and takes minutes: `npm run test:clients`.
    exclude: ['tests/clients/**'],
    globalSetup: isUnitOnly ? [] : ['tests/fixtures/global-setup.ts'],
    pool: 'forks',
    // Most of a test is waiting for stores, sockets and clocks: one file more than there are cores keeps those busy.
    maxWorkers: availableParallelism() + 1,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    coverage: { provider: 'v8', include: ['src/**'], reporter: ['text-summary', 'html'] },
  },
});
