// Registering a webhook; its secret is shown on the page it leads to.
import { webhooks } from '../../api/client.ts';
import { forgetDirectory } from '../../api/webhook-directory.ts';
import { PageHead } from '../../components/page-head.tsx';
import { navigate } from '../../router.ts';
import { keepSecret } from '../webhook/fresh-secret.ts';
import { emptyDraft, toCreate, type WebhookDraft } from './webhook-draft.ts';
import { WebhookForm } from './webhook-form.tsx';

export function NewWebhookPage() {
  const create = async (draft: WebhookDraft) => {
    const webhook = await webhooks.createWebhook(toCreate(draft));
    keepSecret(webhook, 'created');
    forgetDirectory();
    navigate(`/webhooks/${webhook.id}`, { replace: true });
  };
  return (
    <>
      <PageHead title="New webhook" back={{ href: '/webhooks', label: 'Webhooks' }} />
      <WebhookForm
        initial={emptyDraft}
        webhookId={null}
        storedHeaders={null}
        submitLabel="Create webhook"
        cancelHref="/webhooks"
        onSubmit={create}
      />
    </>
  );
}
