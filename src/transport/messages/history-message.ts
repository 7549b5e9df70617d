// How the history of a webhook looks on the wire.
import { fromJson, type JsonValue, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate, type Value, ValueSchema } from '@bufbuild/protobuf/wkt';
import { WebhookAction, type WebhookHistorySchema } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { FieldValue, WebhookAction as Action } from '../../domain/webhook-change.ts';
import type { WebhookHistory } from '../../service/get-webhook-history.ts';

const ACTIONS: Record<Action, WebhookAction> = {
  created: WebhookAction.CREATED,
  updated: WebhookAction.UPDATED,
  deleted: WebhookAction.DELETED,
  secret_rotated: WebhookAction.SECRET_ROTATED,
  rotation_completed: WebhookAction.ROTATION_COMPLETED,
  rotation_cancelled: WebhookAction.ROTATION_CANCELLED,
  secret_read: WebhookAction.SECRET_READ,
  paused: WebhookAction.PAUSED,
  resumed: WebhookAction.RESUMED,
  disabled: WebhookAction.DISABLED,
  enabled: WebhookAction.ENABLED,
  probing_ended: WebhookAction.PROBING_ENDED,
};

export function historyMessage({ changes, nextPageToken }: WebhookHistory): MessageInitShape<typeof WebhookHistorySchema> {
  return {
    changes: changes.map(({ at, action, fields, ...rest }) => ({
      ...rest,
      at: timestampFromDate(at),
      action: ACTIONS[action],
      fields: fields.map((changed) => ({
        field: changed.field,
        old: valueMessage(changed.old),
        new: valueMessage(changed.new),
      })),
    })),
    nextPageToken,
  };
}

function valueMessage(value: FieldValue): Value {
  return fromJson(ValueSchema, value as JsonValue);
}
