(* The scalar linear system h <- factor h + 1 and its derivatives in the factor. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
Open Scope R_scope.

Fixpoint h (t : nat) (a : R) : R := match t with O => 0 | S n => a * h n a + 1 end.
Fixpoint h' (t : nat) (a : R) : R := match t with O => 0 | S n => a * h' n a + h n a end.
Fixpoint h'' (t : nat) (a : R) : R := match t with O => 0 | S n => a * h'' n a + 2 * h' n a end.

Definition loss (t : nat) (a : R) : R := (h t a - 1) ^ 2 / 2.
Definition loss' (t : nat) (a : R) : R := (h t a - 1) * h' t a.
Definition loss'' (t : nat) (a : R) : R := h' t a * h' t a + (h t a - 1) * h'' t a.

Lemma h_derivative t a : derivable_pt_lim (h t) a (h' t a).
Proof.
  induction t as [|n IH]; simpl; [apply derivable_pt_lim_const|].
  replace (a * h' n a + h n a) with (1 * h n a + a * h' n a + 0) by ring.
  apply (derivable_pt_lim_plus (fun a => a * h n a) (fun _ => 1)); [|apply derivable_pt_lim_const].
  apply (derivable_pt_lim_mult (fun a => a) (h n)); [apply derivable_pt_lim_id | exact IH].
Qed.

Lemma h'_derivative t a : derivable_pt_lim (h' t) a (h'' t a).
Proof.
  induction t as [|n IH]; simpl; [apply derivable_pt_lim_const|].
  replace (a * h'' n a + 2 * h' n a) with (1 * h' n a + a * h'' n a + h' n a) by ring.
  apply (derivable_pt_lim_plus (fun a => a * h' n a) (h n)); [|apply h_derivative].
  apply (derivable_pt_lim_mult (fun a => a) (h' n)); [apply derivable_pt_lim_id | exact IH].
Qed.

Lemma below_derivative t a : derivable_pt_lim (fun a => h t a - 1) a (h' t a).
Proof.
  replace (h' t a) with (h' t a - 0) by ring.
  apply (derivable_pt_lim_minus (h t) (fun _ => 1)); [apply h_derivative |
    apply derivable_pt_lim_const].
Qed.

Lemma derivable_pt_lim_same f g a l : (forall x, f x = g x) ->
  derivable_pt_lim f a l -> derivable_pt_lim g a l.
Proof.
  intros H Hf eps He. destruct (Hf eps He) as [delta Hd]. exists delta.
  intros u Hu0 Hu. rewrite <- !H. now apply Hd.
Qed.

Lemma loss_derivative t a : derivable_pt_lim (loss t) a (loss' t a).
Proof.
  apply (derivable_pt_lim_same (fun a => / 2 * ((h t a - 1) * (h t a - 1)))).
  { intros x. unfold loss. field. }
  replace (loss' t a) with (/ 2 * (h' t a * (h t a - 1) + (h t a - 1) * h' t a))
    by (unfold loss'; field).
  apply (derivable_pt_lim_scal (fun a => (h t a - 1) * (h t a - 1))).
  apply (derivable_pt_lim_mult (fun a => h t a - 1) (fun a => h t a - 1)); apply below_derivative.
Qed.

Lemma loss'_derivative t a : derivable_pt_lim (loss' t) a (loss'' t a).
Proof.
  apply (derivable_pt_lim_mult (fun a => h t a - 1) (h' t)); [apply below_derivative|].
  apply h'_derivative.
Qed.

Lemma h_grows a i : 0 < a -> a ^ S i <= h (S (S i)) a - 1.
Proof.
  intros Ha. induction i as [|i IH]; [simpl; lra|].
  change (h (S (S (S i))) a) with (a * h (S (S i)) a + 1). simpl in *. nra.
Qed.

Lemma d_grows a i : 0 < a -> (INR i + 1) * a ^ i <= h' (S (S i)) a.
Proof.
  intros Ha. induction i as [|i IH]; [simpl; lra|].
  change (h' (S (S (S i))) a) with (a * h' (S (S i)) a + h (S (S i)) a).
  pose proof (h_grows a i Ha) as H. rewrite S_INR. simpl pow in *.
  apply (Rmult_le_compat_l a) in IH; lra.
Qed.

(* h''_2 = 0, and the power vanishes with the factor i there *)
Lemma dd_grows a i : 0 < a -> INR i * (INR i + 1) * a ^ (i - 1) <= h'' (S (S i)) a.
Proof.
  intros Ha. induction i as [|i IH]; [simpl; lra|].
  change (h'' (S (S (S i))) a) with (a * h'' (S (S i)) a + 2 * h' (S (S i)) a).
  pose proof (d_grows a i Ha) as H. rewrite S_INR. replace (S i - 1)%nat with i by lia.
  apply (Rmult_le_compat_l a) in IH; [|lra].
  destruct i as [|i]; [simpl in *; lra|].
  replace (S i - 1)%nat with i in IH by lia. simpl pow in *. rewrite S_INR in *. nra.
Qed.
