// The whole console: signed out it is the sign-in page, else the shell around the page that the address names.
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { forgetDirectory } from './api/webhook-directory.ts';
import { hasEnded, session } from './api/session.ts';
import { Shell } from './components/shell.tsx';
import { SignInAgain } from './components/sign-in-again.tsx';
import { DeliveryPage } from './pages/delivery/delivery-page.tsx';
import { DeliveryListPage } from './pages/deliveries/delivery-list-page.tsx';
import { EventTypesPage } from './pages/event-types/event-types-page.tsx';
import { LivePage } from './pages/live/live-page.tsx';
import { MissingPage } from './pages/missing-page.tsx';
import { OverviewPage } from './pages/overview/overview-page.tsx';
import { SignInPage } from './pages/sign-in-page.tsx';
import { VerifyPage } from './pages/verify/verify-page.tsx';
import { WebhookListPage } from './pages/webhooks/webhook-list-page.tsx';
import { EditWebhookPage } from './pages/webhooks/edit-webhook-page.tsx';
import { NewWebhookPage } from './pages/webhooks/new-webhook-page.tsx';
import { WebhookPage } from './pages/webhook/webhook-page.tsx';
import { address } from './router.ts';

interface Route {
  readonly pattern: RegExp;
  readonly page: ComponentType<{ id: string }>;
}

// src/transport/pages/console-page.ts serves the page at exactly these addresses.
const routes: readonly Route[] = [
  { pattern: /^\/$/, page: OverviewPage },
  { pattern: /^\/live$/, page: LivePage },
  { pattern: /^\/webhooks$/, page: WebhookListPage },
  { pattern: /^\/webhooks\/new$/, page: NewWebhookPage },
  { pattern: /^\/webhooks\/([^/]+)$/, page: WebhookPage },
  { pattern: /^\/webhooks\/([^/]+)\/edit$/, page: EditWebhookPage },
  { pattern: /^\/deliveries$/, page: DeliveryListPage },
  { pattern: /^\/deliveries\/([^/]+)$/, page: DeliveryPage },
  { pattern: /^\/event-types$/, page: EventTypesPage },
  { pattern: /^\/verify$/, page: VerifyPage },
];

export function Console() {
  const signedIn = session.value;
  const user = signedIn === null ? null : `${signedIn.role} ${signedIn.userId}`;
  useEffect(() => forgetDirectory, [user]);
  const { path } = address.value;
  const found = routes.flatMap(({ pattern, page }) => {
    const match = pattern.exec(path);
    return match === null ? [] : [{ Page: page, id: match[1] ?? '' }];
  })[0];
  if (user === null) return found === undefined ? <Nowhere /> : <SignInPage />;
  return (
    <>
      <Shell key={user}>{found === undefined ? <MissingPage /> : <found.Page key={path} id={found.id} />}</Shell>
      {hasEnded.value && <SignInAgain />}
    </>
  );
}

/** No sign-in is asked for to read that there is nothing. */
function Nowhere() {
  return (
    <main class="nowhere">
      <MissingPage />
    </main>
  );
}
