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

(* h -> (a h_2 + drive, b h_1 + drive), which contracts in pairs of steps *)
Definition swap (a b drive : R) (h : R * R) (_ : unit) : R * R := (a * snd h + drive,
  b * fst h + drive).

Theorem approached a b drive blocks eps : 0 <= b <= a -> a * b < 1 -> 0 <= drive -> 0 < eps ->
  let x (_ : nat) := tt in
  iterate_contractive plane_max (swap a b drive) 2 (a * b) /\
  contractive plane_max (swap a b drive) a /\
  plane_max (swap a b drive (0, 0) tt) (0, 0) = drive /\
  sum (pow a) 2 = 1 + a /\
  exists t, formulas.state_gap_blocks (a * b) blocks 0 a drive (1 + a) - eps
  < plane_max (state (swap a b drive) x (0, 0) t) (truncated (swap a b drive) x (0,
    0) (blocks * 2) t).
Proof.
  intros Hab Hlam Hd He x. split; [|split; [|split; [|split]]].
  - intros y h g from. cbn.
    replace (a * (b * fst h + drive) + drive - (a * (b * fst g + drive) + drive))
      with (a * b * (fst h - fst g)) by ring.
    replace (b * (a * snd h + drive) + drive - (b * (a * snd g + drive) + drive))
      with (a * b * (snd h - snd g)) by ring.
    rewrite !Rabs_mult, (Rabs_right a), (Rabs_right b) by lra. apply Req_le, RmaxRmult. nra.
  - intros h g u. unfold swap; cbn.
    replace (a * snd h + drive - (a * snd g + drive)) with (a * (snd h - snd g)) by ring.
    replace (b * fst h + drive - (b * fst g + drive)) with (b * (fst h - fst g)) by ring.
    rewrite !Rabs_mult, (Rabs_right a), (Rabs_right b) by lra.
    pose proof (Rmax_l (Rabs (fst h - fst g)) (Rabs (snd h - snd g))).
    pose proof (Rmax_r (Rabs (fst h - fst g)) (Rabs (snd h - snd g))).
    pose proof (Rabs_pos (fst h - fst g)). apply Rmax_lub; nra.
  - cbn. rewrite !Rmult_0_r, !Rplus_0_l, !Rminus_0_r, Rmax_left, Rabs_right; lra.
  - cbn. ring.
  - set (lam := a * b). assert (H0 : 0 <= lam < 1) by (unfold lam; nra).
    set (c := drive * (1 + a) / (1 - lam)).
    assert (orbit : forall h from n, fst (run (swap a b drive) x h from (n * 2))
      = lam ^ n * fst h + drive * (1 + a) * (1 - lam ^ n) / (1 - lam)).
    { intros h from n.
      rewrite (recursion_exact lam (drive * (1 + a)) (fun n => fst (run (swap a b drive) x h from (n
        * 2))));
        [reflexivity | lra |].
      intros i. replace (S i * 2)%nat with (i * 2 + 2)%nat
        by ring. rewrite run_split. cbn. unfold lam. ring. }
    assert (Hc : 0 <= c) by (apply div_nonneg; nra).
    destruct (pow_fades lam (eps / (c + 1)) H0) as [n Hn]; [apply Rdiv_lt_0_compat; lra|].
    specialize (Hn n ltac:(lia)). exists (n * 2 + blocks * 2)%nat.
    rewrite truncated_long by lia. unfold state. rewrite run_split.
    replace (n * 2 + blocks * 2 - blocks * 2)%nat with (n * 2)%nat by lia. rewrite Nat.add_0_l.
    eapply Rlt_le_trans; [|apply Rmax_l]. eapply Rlt_le_trans; [|apply Rle_abs].
    rewrite !orbit. cbn [fst]. unfold formulas.state_gap_blocks. fold lam.
    pose proof (pow_unit lam n H0). pose proof (pow_unit lam blocks H0).
    apply (Rmult_lt_compat_r (c + 1)) in Hn; [|lra].
    replace (eps / (c + 1) * (c + 1)) with eps in Hn by (field; lra).
    match goal with |- _ < ?r => replace r with (lam ^ blocks * (c * (1 - lam ^ n))) by (unfold c;
      field; lra) end.
    replace (a ^ 0 * lam ^ blocks * drive * (1 + a) / (1 - lam)) with (lam ^ blocks * c)
      by (unfold c; simpl; field; lra).
    assert (0 <= c * lam ^ n) by nra.
    assert (lam ^ blocks * (c * lam ^ n) <= c * lam ^ n) by nra. nra.
Qed.
