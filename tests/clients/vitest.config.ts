// `npm run test:clients`: by itself, because it fetches generators and compilers' libraries and takes minutes.
import { defineConfig } from 'vitest/config';
import all from '../../vitest.config.ts';

export default defineConfig({
  test: { ...all.test, include: ['tests/clients/*.test.ts'], exclude: [], testTimeout: 600_000, hookTimeout: 300_000 },
});
