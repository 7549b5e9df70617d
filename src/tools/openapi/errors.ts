// The errors of the REST API: one body, and which reasons come with which status.
import { codeOf, reasons, ServiceError } from '../../domain/errors.ts';
import type { Reason } from '../../domain/errors.ts';
import { restErrorBody, restStatus } from '../../transport/rest/rest-error.ts';
import type { Schema } from './schema.ts';

const statusNames: Record<number, string> = {
  400: 'The request is wrong.',
  401: 'The caller is not known.',
  403: 'The caller may not do this.',
  404: 'There is no such thing, or it is not the caller’s to see.',
  409: 'The request is right, but something that exists stands in its way.',
  412: 'The thing was changed meanwhile; `current` is how it is now.',
  413: 'The body is too large.',
  415: 'The body is of another media type.',
  429: 'Too much at once; try again after the seconds in `Retry-After`.',
  500: 'Something went wrong on our side.',
  503: 'Something that is needed is away; try again after the seconds in `Retry-After`.',
  504: 'The answer was not ready in time.',
};

const allReasons = Object.keys(reasons) as Reason[];

export function reasonsOf(status: number): Reason[] {
  return allReasons.filter((reason) => restStatus(errorOf(reason)) === status);
}

function errorOf(reason: Reason): ServiceError {
  return new ServiceError(reason, reasons[reason]);
}

export const errorSchema: Schema = {
  type: 'object',
  description: 'What every failed call answers.',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'reason', 'message', 'request_id', 'details'],
      properties: {
        code: {
          type: 'string',
          description: 'The gRPC status code, in lower case.',
          enum: [...new Set(allReasons.map(codeOf))].toSorted(),
        },
        reason: {
          type: 'string',
          description: `What to branch on: stable, never renamed or reused.\n\n${allReasons.map((reason) => `- \`${reason}\`: ${reasons[reason]}`).join('\n')}`,
          enum: allReasons,
        },
        message: { type: 'string', description: 'What went wrong, for people.' },
        request_id: { type: 'string', description: 'Also in the header `X-Request-Id` and in the service’s log.' },
        details: {
          type: 'array',
          description: 'The fields at fault.',
          items: {
            type: 'object',
            required: ['field', 'message'],
            properties: { field: { type: 'string' }, message: { type: 'string' } },
          },
        },
        current: { $ref: '#/components/schemas/Webhook', description: 'With `etag_mismatch`: the webhook as it is now.' },
      },
    },
  },
};

/** The responses of all failures, by status: components that operations refer to. */
export function errorResponses(): Record<string, Schema> {
  return Object.fromEntries(
    Object.entries(statusNames).map(([status, description]) => {
      const why = reasonsOf(Number(status));
      const [example = 'internal'] = why;
      return [
        `Error${status}`,
        {
          description: `${description} Reasons: ${why.map((reason) => `\`${reason}\``).join(', ')}.`,
          headers: {
            'X-Request-Id': { $ref: '#/components/headers/X-Request-Id' },
            ...(status === '429' || status === '503' ? { 'Retry-After': { $ref: '#/components/headers/Retry-After' } } : {}),
            ...(status === '401' ? { 'WWW-Authenticate': { $ref: '#/components/headers/WWW-Authenticate' } } : {}),
          },
          content: {
            'application/json': {
              schema: { $ref: '#/components/schemas/ErrorReply' },
              example: restErrorBody(errorOf(example), '5b1f6c1e-3f0f-4a55-9c3a-0d8a5f4b7c21'),
            },
          },
        },
      ];
    }),
  );
}
