// WebhookService.TestFilter: whether a payload passes a filter.
import type { ServiceImpl } from '@connectrpc/connect';
import type { TestFilterRequest, WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { invalid } from '../../domain/errors.ts';
import type { ManagementContext } from '../../service/context.ts';
import { testFilter as test, type TestFilterInput } from '../../service/test-filter.ts';
import { principalOf } from '../call/call-context.ts';

export function testFilter(context: ManagementContext): ServiceImpl<typeof WebhookService>['testFilter'] {
  return async ({ webhookId, filter, payload }, call) =>
    test(context, principalOf(call), { webhookId, filter, payload: payloadOf(payload) });
}

function payloadOf(payload: TestFilterRequest['payload']): TestFilterInput['payload'] {
  if (payload.case === 'data') return { json: payload.value };
  if (payload.case === 'dataJson') return { bytes: payload.value };
  if (payload.case === 'eventId') return { eventId: payload.value };
  throw invalid('field_invalid', 'data', 'is required');
}
