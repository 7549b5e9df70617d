// Where a reader without a session begins.
import { useEffect } from 'preact/hooks';
import { signedOutBecause } from '../api/session.ts';
import { Mark } from '../components/shell.tsx';
import { SignInForm } from '../components/sign-in-form.tsx';

export function SignInPage() {
  useEffect(() => {
    document.title = 'Sign in · HomeChef Webhooks';
  }, []);
  return (
    <main class="sign-in">
      <div class="receipt-shadow">
        <div class="ticket">
          <p class="brand">
            <Mark />
            <span>
              HomeChef <b>Webhooks</b>
            </span>
          </p>
          <h1>Sign in</h1>
          <p class="lead">See every event on its way to your receivers, and steer it.</p>
          {signedOutBecause.value === 'expired' && (
            <p class="notice" role="status">
              Your session has ended. Sign in again to go on where you were.
            </p>
          )}
          <SignInForm />
        </div>
      </div>
    </main>
  );
}
