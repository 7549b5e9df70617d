// What a command prints when it could not do what it was asked: one line, which begins with a reason of the catalogue where there is one.
import { ConfigError } from '../config.ts';
import { UsageError } from './usage.ts';
import { isHangUp, isWrongPort, WRONG_PORT } from './wrong-port.ts';

export interface Refusal {
  readonly message: string;
  /** 2 for what the caller can write differently, 1 for what could not be done. */
  readonly exitCode: 1 | 2;
}

/** Null for a fault of ours, which needs its stack. */
export async function refusalOf(error: unknown): Promise<Refusal | null> {
  if (!(error instanceof Error)) return null;
  if (error instanceof UsageError) return { message: `${error.reason}: ${error.message}`, exitCode: 2 };
  if (error instanceof ConfigError) return { message: error.message, exitCode: 2 };
  if (error instanceof AggregateError) return refusalOf(error.errors[0]);
  if ('code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
    return { message: parseRefusal(String(error.code), error.message), exitCode: 2 };
  if (isWrongPort(error)) return { message: `field_invalid: ${WRONG_PORT}`, exitCode: 2 };
  if (isHangUp(error))
    return { message: `${error.message}: try again, or give SERVER_PORT (8080 by default) in --url`, exitCode: 1 };
  // By their marks, so that a library is loaded only by the commands that need it.
  if (error.name === 'ConnectError') {
    const { refusedCall } = await import('./connection.ts');
    return { message: refusedCall(error) ?? error.message, exitCode: 1 };
  }
  // What the system or PostgreSQL answered.
  return 'syscall' in error || 'severity' in error ? { message: error.message, exitCode: 1 } : null;
}

// parseArgs names the argument that it does not know, and spreads its advice over lines.
function parseRefusal(code: string, message: string): string {
  const reason = code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION' ? 'field_unknown' : 'field_invalid';
  return `${reason}: ${message.replaceAll('\n', ' ')}`;
}
