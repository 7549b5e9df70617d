// Which REST routes there are: read from the google.api.http annotations of the services, none written by hand.
import { getOption, hasOption, ScalarType } from '@bufbuild/protobuf';
import type { DescMessage, DescMethod, DescMethodUnary } from '@bufbuild/protobuf';
import { http } from '../../../gen/google/api/annotations_pb.ts';
import type { HttpRule } from '../../../gen/google/api/http_pb.ts';
import { policy } from '../../../gen/homechef/webhook/v1/policy_pb.ts';
import type { ServiceEntry } from '../call/service-entry.ts';

export type Verb = 'GET' | 'PUT' | 'POST' | 'DELETE' | 'PATCH';

export interface RestRoute {
  readonly entry: ServiceEntry;
  readonly method: DescMethodUnary;
  readonly verb: Verb;
  /** Whether this is another way to a method that has a route already. */
  readonly isAlias: boolean;
  /** As in `/api/v1/webhooks/{webhook_id}`. */
  readonly path: string;
  /** Fields that the path fills, as in `webhook_id`. */
  readonly pathFields: readonly string[];
  readonly hasBody: boolean;
  readonly successStatus: number;
  /** Instead, when the answer says that nothing was accepted; null: this one does not say. */
  readonly nothingAcceptedStatus: number | null;
  /** Of an answer whose `dry_run` is true; null: there is none. */
  readonly dryRunStatus: number | null;
}

/** Throws at start for an annotation that this gateway cannot serve, rather than serve it wrongly. */
export function restRoutes(entries: readonly ServiceEntry[]): RestRoute[] {
  return entries.flatMap((entry) =>
    entry.service.methods
      .filter((method) => hasOption(method, http))
      .flatMap((method) => {
        const rule = getOption(method, http);
        return [rule, ...rule.additionalBindings].map((binding, index) => toRoute(entry, method, binding, index > 0));
      }),
  );
}

function toRoute(entry: ServiceEntry, method: DescMethod, rule: HttpRule, isAlias: boolean): RestRoute {
  const name = `${entry.service.typeName}/${method.name}`;
  if (method.methodKind !== 'unary') throw new Error(`${name}: only unary RPCs can have a REST route`);
  if (rule.pattern.case === undefined || rule.pattern.case === 'custom') throw new Error(`${name}: its route has no verb`);
  if (rule.body !== '' && rule.body !== '*') throw new Error(`${name}: a REST body is "*" or none`);
  if (rule.responseBody !== '') throw new Error(`${name}: response_body is not served`);
  const path = rule.pattern.value;
  const pathFields = [...path.matchAll(/\{([^}]*)\}/g)].map((match) => match[1] ?? '');
  for (const field of pathFields) {
    if (!isTextField(method.input, field))
      throw new Error(`${name}: {${field}} is not a string field of ${method.input.typeName}`);
  }
  const { successStatus, nothingAcceptedStatus, dryRunStatus } = getOption(method, policy);
  if (nothingAcceptedStatus !== 0 && !method.output.fields.some((field) => field.name === 'accepted')) {
    throw new Error(`${name}: its answer does not say how many were accepted`);
  }
  if (dryRunStatus !== 0 && !method.output.fields.some((field) => field.name === 'dry_run')) {
    throw new Error(`${name}: its answer does not say whether it was a dry run`);
  }
  return {
    entry,
    method: method as DescMethodUnary,
    verb: rule.pattern.case.toUpperCase() as Verb,
    isAlias,
    path,
    pathFields,
    hasBody: rule.body === '*',
    successStatus: successStatus === 0 ? 200 : successStatus,
    nothingAcceptedStatus: nothingAcceptedStatus === 0 ? null : nothingAcceptedStatus,
    dryRunStatus: dryRunStatus === 0 ? null : dryRunStatus,
  };
}

function isTextField(message: DescMessage, name: string): boolean {
  const field = message.fields.find((candidate) => candidate.name === name);
  return field?.fieldKind === 'scalar' && field.scalar === ScalarType.STRING;
}
