// Changing a webhook.
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { webhooks } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { forgetDirectory } from '../../api/webhook-directory.ts';
import { PageHead } from '../../components/page-head.tsx';
import { Loaded } from '../../components/states.tsx';
import { navigate } from '../../router.ts';
import { draftOf, toUpdate, type WebhookDraft } from './webhook-draft.ts';
import { WebhookForm } from './webhook-form.tsx';

export function EditWebhookPage({ id }: { id: string }) {
  const stored = useResource(id, (signal) => webhooks.getWebhook({ webhookId: id }, { signal }));
  const save = (webhook: Webhook) => async (draft: WebhookDraft) => {
    await webhooks.updateWebhook(toUpdate(webhook, draft));
    forgetDirectory();
    navigate(`/webhooks/${id}`, { replace: true });
  };
  return (
    <>
      <PageHead title="Edit webhook" back={{ href: `/webhooks/${id}`, label: 'Webhook' }} />
      <Loaded from={stored} lines={8}>
        {(webhook) => (
          <WebhookForm
            initial={draftOf(webhook)}
            webhookId={id}
            storedHeaders={Object.keys(webhook.customHeaders)}
            submitLabel="Save changes"
            cancelHref={`/webhooks/${id}`}
            onSubmit={save(webhook)}
          />
        )}
      </Loaded>
    </>
  );
}
