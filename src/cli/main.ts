#!/usr/bin/env node
// The process of one command: its refusal goes to standard error.
import { runCommand } from './command-line.ts';

const refusal = await runCommand(process.argv.slice(2));
if (refusal !== null) {
  console.error(refusal.message);
  process.exitCode = refusal.exitCode;
}
