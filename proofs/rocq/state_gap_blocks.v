(* State gap of the k-step counterpart, when only several steps together contract. *)
From Coq Require Import Reals Lra Lia Arith.
From Stable Require Import library.
From Stable Require formulas.
Open Scope R_scope.

(* i steps are Lipschitz by B i *)
Definition steps_lipschitz {T X} (d : metric T) (step : T -> X -> T) (r : nat) (B : nat ->
  R) : Prop :=
  forall x h g from i, (i < r)%nat -> d (run step x h from i) (run step x g from i) <= B i * d h g.

Section Blocks.
  Context {T X : Type}.
  Variables (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X) (r : nat).
  Variables (lam drive spread : R) (B : nat -> R).
  Hypothesis Hlam : 0 <= lam < 1.
  Hypothesis Hr : iterate_contractive d step r lam.
  Hypothesis Hone : (1 <= r)%nat.
  Hypothesis HB : forall i, 0 <= B i.
  Hypothesis Hsteps : steps_lipschitz d step r B.
  Hypothesis Hspread : sum B r <= spread.
  Hypothesis Hdrive : forall s, d (step o (x s)) o <= drive.

  Lemma drive_nonneg : 0 <= drive.
  Proof. pose proof (distance_nonneg d (step o (x 0%nat)) o). specialize (Hdrive 0%nat). lra. Qed.

  (* what at most r steps make of o *)
  Lemma made from i : (i <= r)%nat -> d (run step x o from i) o <= drive * sum B i.
  Proof.
    revert from. induction i as [|i IH]; intros from Hi; [simpl; rewrite (distance_refl d); lra|].
    rewrite run_first. eapply Rle_trans; [apply (distance_triangle d _ (run step x o (S from) i))|].
    simpl. rewrite Rmult_plus_distr_l, Rplus_comm. apply Rplus_le_compat; [apply IH; lia|].
    eapply Rle_trans; [apply Hsteps; lia|]. rewrite Rmult_comm. now apply Rmult_le_compat_r.
  Qed.

  Lemma states n : d (state step x o n) o <= drive * spread / (1 - lam).
  Proof.
    pose proof drive_nonneg as Hd.
    assert (Hs : 0 <= drive * spread).
    { pose proof (sum_nonneg B r HB). nra. }
    assert (limit : forall i, (i <= r)%nat -> drive * sum B i <= drive * spread).
    { intros i Hi. apply Rmult_le_compat_l; [exact Hd|].
      eapply Rle_trans; [apply (sum_monotone B i r HB Hi) | exact Hspread]. }
    assert (below : drive * spread <= drive * spread / (1 - lam)).
    { apply (Rmult_le_reg_r (1 - lam)); [lra|].
      replace (drive * spread / (1 - lam) * (1 - lam)) with (drive * spread) by (field; lra). nra. }
    rewrite (Nat.div_mod n r) by lia. set (q := (n / r)%nat). set (i := (n mod r)%nat).
    assert (Hi : (i < r)%nat) by (apply Nat.mod_upper_bound; lia). clearbody q i. clear n.
    unfold state. rewrite Nat.add_comm, Nat.mul_comm. induction q as [|q IH].
    - simpl. rewrite Nat.add_0_r. eapply Rle_trans; [apply made;
      lia|]. specialize (limit i ltac:(lia)). lra.
    - replace (i + S q * r)%nat with (i + q * r + r)%nat by ring. rewrite run_split.
      eapply Rle_trans; [apply (distance_triangle d _ (run step x o (0 + (i + q * r)) r))|].
      eapply Rle_trans; [apply Rplus_le_compat; [apply Hr | apply made; lia]|].
      specialize (limit r ltac:(lia)). apply (Rmult_le_compat_l lam) in IH; [|lra].
      replace (drive * spread / (1 - lam))
        with (lam * (drive * spread / (1 - lam)) + drive * spread)
        by (field; lra). lra.
  Qed.
End Blocks.

Theorem state_gap_blocks {T X} (d : metric T) (o : T) (step : T -> X -> T) (x : nat -> X)
    (r : nat) (lam : R) (blocks rest t : nat) (growth drive spread : R) (B : nat -> R) :
  0 <= lam < 1 -> (1 <= r)%nat -> iterate_contractive d step r lam ->
  0 <= growth -> contractive d step growth ->
  (forall s, d (step o (x s)) o <= drive) ->
  (forall i, 0 <= B i) -> steps_lipschitz d step r B -> sum B r <= spread ->
  d (state step x o t) (truncated step x o (blocks * r + rest) t)
  <= formulas.state_gap_blocks lam blocks rest growth drive spread.
Proof.
  intros Hlam Hone Hr Hg Hstep Hdrive HB Hsteps Hspread. set (k := (blocks * r + rest)%nat).
  assert (Hpowers : 0 <= growth ^ rest * lam ^ blocks) by (apply Rmult_le_pos; apply pow_le; lra).
  pose proof (states d o step x r lam drive spread B Hlam Hr Hone HB Hsteps Hspread Hdrive) as
    bounded.
  replace (formulas.state_gap_blocks lam blocks rest growth drive spread)
    with (growth ^ rest * lam ^ blocks * (drive * spread / (1 - lam)))
    by (unfold formulas.state_gap_blocks; field; lra).
  destruct (le_lt_dec k t) as [Hk|Hk].
  - eapply Rle_trans; [apply (gap_iterate d step r lam growth); lra || assumption|].
    apply Rmult_le_compat_l; [exact Hpowers | apply bounded].
  - rewrite truncated_short, (distance_refl d) by lia. apply Rmult_le_pos; [exact Hpowers|].
    eapply Rle_trans; [apply (distance_nonneg d (state step x o 0) o) | apply bounded].
Qed.

(* the spread by default: 1 + growth + .. + growth^(r - 1) *)
Theorem default_spread {T X} (d : metric T) (step : T -> X -> T) (r : nat) (growth : R) :
  0 <= growth -> contractive d step growth -> steps_lipschitz d step r (pow growth).
Proof.
  intros Hg Hstep x h g from i _.
  apply (shrinking growth (fun n => d (run step x h from n) (run step x g from n))); [exact Hg|].
  intros n. apply Hstep.
Qed.
