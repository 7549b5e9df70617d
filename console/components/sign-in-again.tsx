// Over the page on which a session ended: what was read and typed stays behind it, and a sign-in goes on with it.
import { useId, useLayoutEffect, useRef } from 'preact/hooks';
import { session, signOut } from '../api/session.ts';
import { SignInForm } from './sign-in-form.tsx';

export function SignInAgain() {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby={heading} onCancel={(event) => event.preventDefault()}>
      <h2 id={heading}>Your session has ended</h2>
      <p>Sign in again as {session.value?.userId} to go on where you were: what you typed is still here.</p>
      <SignInForm />
      <div class="dialog-actions">
        <button type="button" class="button" onClick={signOut}>
          Sign out
        </button>
      </div>
    </dialog>
  );
}
